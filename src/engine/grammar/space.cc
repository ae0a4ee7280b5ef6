#include "engine/grammar/space.h"

#include <algorithm>

#include "engine/grammar/grammar.h"

namespace weir::grammar {

struct Space::Gather {
  std::vector<Head> heads;
  bool ends = false, escapes = false;
};

Space::Space(const Automaton& automaton) : automaton_(&automaton) {
  frames_.push_back({kBottom, -1, 0});
  frames_.push_back({kUnknown, -1, 0});
  Intern({}, false, false);  // kDead
}

Space::FrameId Space::Push(FrameId below, StateId state) {
  const auto [it, fresh] =
      frame_ids_.try_emplace(Head{state, below}, static_cast<FrameId>(frames_.size()));
  if (fresh) {
    frames_.push_back({below, state, frames_[static_cast<size_t>(below)].depth + 1});
  }
  return it->second;
}

Space::ConfigId Space::Intern(std::vector<Head> heads, bool ends, bool escapes) {
  std::sort(heads.begin(), heads.end());
  heads.erase(std::unique(heads.begin(), heads.end()), heads.end());
  std::pair<std::vector<Head>, int> key(std::move(heads), ends + 2 * escapes);
  const auto it = config_ids_.find(key);
  if (it != config_ids_.end()) return it->second;
  const auto id = static_cast<ConfigId>(configs_.size());
  Config config{key.first, ends, escapes, std::make_unique<std::array<int32_t, 256>>()};
  config.next->fill(kNotYet);
  configs_.push_back(std::move(config));
  config_ids_.emplace(std::move(key), id);
  return id;
}

void Space::Arrive(Gather& gather, Head head) const {
  for (;;) {
    const Automaton::State& state = automaton_->states[static_cast<size_t>(head.state)];
    if (state.edge_count > 0 || state.call_count > 0) {
      if (std::find(gather.heads.begin(), gather.heads.end(), head) != gather.heads.end()) return;
      if (gather.heads.size() < kMostHeads) gather.heads.push_back(head);
    }
    if (!state.end) return;
    if (head.frame == kBottom) {
      gather.ends = true;
      return;
    }
    if (head.frame == kUnknown) {
      gather.escapes = true;
      return;
    }
    const Frame& f = frames_[static_cast<size_t>(head.frame)];
    head = {f.state, f.below};
  }
}

Space::ConfigId Space::Of(std::vector<Head> heads) {
  Gather gather;
  for (const Head& head : heads) Arrive(gather, head);
  return Intern(std::move(gather.heads), gather.ends, gather.escapes);
}

Space::ConfigId Space::Find(ConfigId config, uint8_t byte) {
  Gather gather;
  // Heads that calls and endings lead to before a byte is read; `todo` is also the set of those
  // seen, with a table behind it once it is long.
  std::vector<Head> todo = configs_[static_cast<size_t>(config)].heads;
  std::unordered_map<Head, bool, Hash> seen;
  constexpr size_t kShort = 24;
  const auto add = [&](Head head) {
    if (todo.size() >= kMostHeads) return;
    if (todo.size() <= kShort) {
      if (std::find(todo.begin(), todo.end(), head) != todo.end()) return;
    } else {
      if (seen.empty()) {
        for (const Head& h : todo) seen.emplace(h, true);
      }
      if (!seen.emplace(head, true).second) return;
    }
    todo.push_back(head);
  };
  for (size_t i = 0; i < todo.size(); ++i) {
    const Head head = todo[i];
    const Automaton::State& state = automaton_->states[static_cast<size_t>(head.state)];
    const Automaton::Edge* edges = automaton_->edges.data() + state.edges;
    for (uint32_t e = 0; e < state.edge_count && edges[e].first <= byte; ++e) {
      if (byte <= edges[e].last) {
        Arrive(gather, {edges[e].to, head.frame});
        break;
      }
    }
    for (uint32_t c = 0; c < state.call_count; ++c) {
      const Automaton::CallEdge& call = automaton_->calls[state.calls + c];
      FrameId frame = head.frame;
      if (!call.last) {
        if (frames_[static_cast<size_t>(frame)].depth >= kMaxDepth) continue;
        frame = Push(frame, call.to);
      }
      add({call.start, frame});
    }
    if (state.end && head.frame > kUnknown) {
      const Frame& f = frames_[static_cast<size_t>(head.frame)];
      add({f.state, f.below});
    }
  }
  return Intern(std::move(gather.heads), gather.ends, gather.escapes);
}

Space::ConfigId Space::CopyTo(Space& other, ConfigId config) const {
  std::vector<Head> heads;
  for (const Head& head : Heads(config)) {
    std::vector<FrameId> path;  // from the top down
    for (FrameId f = head.frame; f > kUnknown; f = frames_[static_cast<size_t>(f)].below) {
      path.push_back(f);
    }
    FrameId made = path.empty() ? head.frame : kBottom;
    for (auto it = path.rbegin(); it != path.rend(); ++it) {
      made = other.Push(made, frames_[static_cast<size_t>(*it)].state);
    }
    heads.push_back({head.state, made});
  }
  return other.Intern(std::move(heads), Ends(config), Escapes(config));
}

}  // namespace weir::grammar
