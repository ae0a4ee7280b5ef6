#include "engine/serve/batch.h"

#include <algorithm>
#include <numeric>

#include "engine/serve/kv_cache.h"

namespace weir::serve {
namespace {

constexpr size_t kNone = static_cast<size_t>(-1);

// One sequence of the step to come: a running one, or one that is being admitted.
struct Member {
  RunningSequence s;
  bool gone = false;  // preempted
  int64_t tokens = 0, drafts = 0;

  bool decodes() const { return s.tokens - s.computed == 1; }
  int64_t BlocksFor(int64_t more) const {
    return std::max<int64_t>(0, KvCache::BlocksFor(s.computed + more) - s.blocks);
  }
  // More blocks than it has, were it to run as long as it is expected to.
  int64_t Reserve() const {
    return std::max<int64_t>(0, KvCache::BlocksFor(s.tokens + s.expected) - s.blocks);
  }
  bool Before(const Member& other) const {
    return s.tier != other.s.tier ? s.tier < other.s.tier : s.order < other.s.order;
  }
};

class Planner {
 public:
  explicit Planner(const Snapshot& snapshot)
      : in_(snapshot), available_(snapshot.available_blocks) {
    members_.reserve(snapshot.running.size() + snapshot.waiting.size());
    for (const RunningSequence& s : snapshot.running) members_.push_back({.s = s});
    for (const Flow& flow : snapshot.flows) charged_.push_back(flow.charged);
  }

  StepPlan Plan() {
    Decodes(0);
    if (plan_.preempt.empty()) {
      Admit();
      Decodes(in_.running.size());
    }
    Prompts();
    Drafts();
    for (size_t i = 0; i < members_.size(); ++i) {
      const Member& m = members_[i];
      if (!m.gone && m.tokens > 0) plan_.work.push_back({i, m.tokens, m.drafts});
    }
    return std::move(plan_);
  }

 private:
  void Preempt(size_t index) {
    Member& m = members_[index];
    m.gone = true;
    if (m.tokens > 0) rows_ -= m.tokens;
    m.tokens = 0;
    available_ += Freed(m, shared_);
    plan_.preempt.push_back(index);
  }
  // What a member's leaving makes available: what it holds alone, but for what those who are being
  // admitted will hold then. At least.
  static int64_t Freed(const Member& m, int64_t shared) {
    return std::max<int64_t>(0, m.s.own_blocks - shared);
  }

  // Makes room for `blocks` of a member by preempting less important ones. False: there is none.
  bool MakeRoom(const Member& needs, int64_t blocks) {
    while (available_ < blocks) {
      size_t victim = kNone;
      for (size_t i = 0; i < in_.running.size(); ++i) {
        const Member& m = members_[i];
        if (m.gone || !needs.Before(m)) continue;
        if (victim == kNone || members_[victim].Before(m)) victim = i;
      }
      if (victim == kNone) return false;
      Preempt(victim);
    }
    available_ -= blocks;
    return true;
  }

  // Of the members from `first` on.
  void Decodes(size_t first) {
    std::vector<size_t> order(members_.size() - first);
    std::iota(order.begin(), order.end(), first);
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return members_[a].Before(members_[b]); });
    for (const size_t i : order) {
      Member& m = members_[i];
      if (m.gone || !m.decodes()) continue;
      const int64_t blocks = m.BlocksFor(1);
      if (!MakeRoom(m, blocks)) continue;  // it waits a step: those before it get on
      m.s.blocks += blocks;
      m.s.own_blocks += blocks;
      m.tokens = 1;
      ++rows_;
    }
  }

  int64_t Places() const {
    int64_t taken = 0;
    for (const Member& m : members_) taken += m.gone ? 0 : 1;
    return in_.limits.max_sequences - taken;
  }

  // The running sequence that should give its place to `next`, if any.
  size_t WhoYields(const WaitingSequence& next) const {
    std::vector<int64_t> places(in_.flows.size());
    for (const Member& m : members_) {
      if (!m.gone) ++places[static_cast<size_t>(m.s.flow)];
    }
    ++places[static_cast<size_t>(next.flow)];
    int64_t flows_here = 0;  // flows that have or want places on this tier
    int64_t places_here = 0;
    std::vector<uint8_t> seen(in_.flows.size());
    const auto count = [&](int flow, int tier) {
      if (tier != next.tier || seen[static_cast<size_t>(flow)] != 0) return;
      seen[static_cast<size_t>(flow)] = 1;
      ++flows_here;
      places_here += places[static_cast<size_t>(flow)];
    };
    count(next.flow, next.tier);
    for (const Member& m : members_) {
      if (!m.gone) count(m.s.flow, m.s.tier);
    }
    const int64_t share = places_here / std::max<int64_t>(1, flows_here);
    const auto yields = [&](const Member& m) {
      if (m.gone || m.s.turn < kLeastTurn) return false;
      if (m.s.tier > next.tier) return true;
      return m.s.tier == next.tier && m.s.flow != next.flow &&
             places[static_cast<size_t>(next.flow)] <= share &&
             places[static_cast<size_t>(m.s.flow)] > share;
    };
    size_t victim = kNone;
    for (size_t i = 0; i < in_.running.size(); ++i) {
      if (!yields(members_[i])) continue;
      if (victim == kNone || members_[victim].Before(members_[i])) victim = i;
    }
    return victim;
  }

  void Admit() {
    int64_t reserve = 0;
    for (const Member& m : members_) reserve += m.Reserve();
    bool yielded = false;
    std::vector<uint8_t> admitted(in_.waiting.size());
    for (size_t w = 0; w < in_.waiting.size(); ++w) {
      const WaitingSequence& next = in_.waiting[w];
      if (next.held || (next.held_by >= 0 && admitted[static_cast<size_t>(next.held_by)] != 0)) {
        continue;
      }
      Member m{.s = {.order = next.order,
                     .arrival = next.arrival,
                     .flow = next.flow,
                     .tier = next.tier,
                     .tokens = next.tokens,
                     .computed = next.cached,
                     .blocks = next.blocks,
                     .expected = next.expected * next.places,
                     .most_rows = next.most_rows}};
      const bool full = Places() <= 0;
      const size_t victim = full && !yielded ? WhoYields(next) : kNone;
      if (full && victim == kNone) break;
      int64_t available = available_, others = reserve;
      if (victim != kNone) {
        available += Freed(members_[victim], shared_ + next.shared);
        others -= members_[victim].Reserve();
      }
      // By itself it fits, whatever is expected of it.
      const bool alone = Places() + (victim != kNone ? 1 : 0) == in_.limits.max_sequences;
      if (next.taken + (alone ? 0 : m.Reserve() + others) > available) break;
      shared_ += next.shared;
      if (victim != kNone) {
        Preempt(victim);
        yielded = true;
        reserve = others;
      }
      available_ -= next.taken;
      reserve += m.Reserve();
      members_.push_back(m);
      plan_.admit.push_back(w);
      admitted[w] = 1;
    }
  }

  // Prompt tokens of m from where this plan has brought it to the next border.
  static int64_t NextChunk(const Member& m) {
    const int64_t at = m.s.computed + m.tokens;
    return std::min(kChunk - at % kChunk, m.s.tokens - at);
  }
  bool CanGoOn(const Member& m) const {
    if (m.gone || m.decodes() || m.s.computed + m.tokens >= m.s.tokens) return false;
    return m.s.most_rows == 0 || m.tokens + NextChunk(m) <= m.s.most_rows || m.tokens == 0;
  }
  // One more chunk; false when there are no blocks for it.
  bool Advance(Member& m) {
    int64_t chunk = NextChunk(m);
    if (m.s.most_rows > 0) chunk = std::min(chunk, m.s.most_rows);
    const int64_t blocks = m.BlocksFor(m.tokens + chunk);
    if (!MakeRoom(m, blocks)) return false;
    m.s.blocks += blocks;
    m.s.own_blocks += blocks;
    m.tokens += chunk;
    rows_ += chunk;
    charged_[static_cast<size_t>(m.s.flow)] +=
        static_cast<double>(chunk) / in_.flows[static_cast<size_t>(m.s.flow)].weight;
    return true;
  }

  void Prompts() {
    std::vector<size_t> prompts;
    for (size_t i = 0; i < members_.size(); ++i) {
      if (CanGoOn(members_[i])) prompts.push_back(i);
    }
    if (prompts.empty()) return;
    const int64_t budget = std::max(in_.limits.step_rows - rows_, kChunk);
    // What was preempted while prompts took their blocks frees rows; the budget counts its own.
    int64_t spent = 0;
    const auto go = [&](size_t at) {
      Member& m = members_[prompts[at]];
      const int64_t before = m.tokens;
      const bool moved = Advance(m);
      spent += m.tokens - before;
      if (!moved || !CanGoOn(m)) prompts.erase(prompts.begin() + static_cast<ptrdiff_t>(at));
    };
    while (!prompts.empty() && (spent == 0 || spent + kChunk <= budget)) {
      std::erase_if(prompts, [&](size_t i) { return members_[i].gone; });
      if (prompts.empty()) break;
      size_t best = 0;
      for (size_t at = 1; at < prompts.size(); ++at) {
        const Member &a = members_[prompts[at]], &b = members_[prompts[best]];
        const double ca = charged_[static_cast<size_t>(a.s.flow)],
                     cb = charged_[static_cast<size_t>(b.s.flow)];
        const int64_t da = a.s.computed + a.tokens + kOvertake * a.s.arrival,
                      db = b.s.computed + b.tokens + kOvertake * b.s.arrival;
        if (ca != cb ? ca < cb : (da != db ? da < db : a.s.order < b.s.order)) best = at;
      }
      go(best);
    }
  }

  // Drafts are a bonus: they take blocks only where some are left beyond all reserves.
  void Drafts() {
    int64_t left = in_.limits.speculative_rows - rows_;
    bool some = true;
    for (int64_t round = 1; left > 0 && some; ++round) {
      some = false;
      for (Member& m : members_) {
        if (left == 0) break;
        if (m.gone || m.tokens != 1 || !m.decodes() || m.s.drafts < round) continue;
        const int64_t blocks = m.BlocksFor(1 + round);
        if (blocks > available_) continue;
        available_ -= blocks;
        m.s.blocks += blocks;
        m.drafts = round;
        --left;
        some = true;
      }
    }
  }

  const Snapshot& in_;
  int64_t available_;
  int64_t shared_ = 0;  // by those who are being admitted
  int64_t rows_ = 0;    // planned
  std::vector<Member> members_;
  std::vector<double> charged_;
  StepPlan plan_;
};

}  // namespace

StepPlan PlanStep(const Snapshot& snapshot) { return Planner(snapshot).Plan(); }

std::vector<size_t> AdmissionOrder(std::span<const Flow> flows, std::span<const Applicant> waiting,
                                   size_t most) {
  // Each flow's applicants, oldest first; then always the head of the flow charged least.
  std::vector<std::vector<size_t>> queues(flows.size());
  for (size_t i = 0; i < waiting.size(); ++i) {
    queues[static_cast<size_t>(waiting[i].flow)].push_back(i);
  }
  std::vector<double> charged;
  std::vector<size_t> next(flows.size());
  for (const Flow& flow : flows) charged.push_back(flow.charged);
  for (auto& queue : queues) {
    std::sort(queue.begin(), queue.end(),
              [&](size_t a, size_t b) { return waiting[a].order < waiting[b].order; });
  }
  std::vector<size_t> order;
  while (order.size() < std::min(most, waiting.size())) {
    size_t best = kNone;
    for (size_t f = 0; f < queues.size(); ++f) {
      if (next[f] == queues[f].size()) continue;
      if (best == kNone || charged[f] < charged[best] ||
          (charged[f] == charged[best] &&
           waiting[queues[f][next[f]]].order < waiting[queues[best][next[best]]].order)) {
        best = f;
      }
    }
    const size_t chosen = queues[best][next[best]++];
    charged[best] += static_cast<double>(waiting[chosen].cost) / flows[best].weight;
    order.push_back(chosen);
  }
  return order;
}

}  // namespace weir::serve
