#include "engine/grammar/language.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace weir::grammar {

using model::CodeSet;
using model::RegexNode;
using PatternKind = RegexNode::Kind;

namespace {

constexpr size_t kMaxParts = 100'000;  // states of an automaton before it is made deterministic

Error TooLarge() {
  return Error(Code::kTooLarge,
               fmt::format("the pattern needs more than {} states", kMaxLanguageStates))
      .Hint("a shorter maxLength or smaller repetitions make it smaller");
}
Error NotOffered(std::string_view what) {
  return Error(Code::kUnimplemented,
               "pattern: " + std::string(what) + " cannot be held to token by token");
}

}  // namespace

// A nondeterministic automaton: edges for sets of characters, and edges that read nothing.
class Thompson {
 public:
  struct State {
    std::vector<std::pair<CodeSet, int>> edges;
    std::vector<int> free;
  };

  int Add() {
    states_.emplace_back();
    return static_cast<int>(states_.size()) - 1;
  }
  void Link(int from, int to) { states_[static_cast<size_t>(from)].free.push_back(to); }
  void Read(int from, CodeSet set, int to) {
    set.Intersect(AnyCharacter());
    states_[static_cast<size_t>(from)].edges.emplace_back(std::move(set), to);
  }
  int Anything(int from) {
    const int loop = Add();
    Link(from, loop);
    Read(loop, AnyCharacter(), loop);
    return loop;
  }
  const std::vector<State>& states() const { return states_; }

  // What follows `from` once it has read `node`.
  Result<int> Append(int from, const RegexNode& node) {
    if (states_.size() > kMaxParts) return TooLarge();
    switch (node.kind) {
      case PatternKind::kEmpty:
        return from;
      case PatternKind::kSet: {
        const int to = Add();
        Read(from, node.set, to);
        return to;
      }
      case PatternKind::kSequence:
        for (const RegexNode& child : node.children) from = TRY(Append(from, child));
        return from;
      case PatternKind::kAlternatives: {
        const int to = Add();
        for (const RegexNode& child : node.children) {
          const int begin = Add();
          Link(from, begin);
          Link(TRY(Append(begin, child)), to);
        }
        return to;
      }
      case PatternKind::kRepeat: {
        const RegexNode& body = node.children.front();
        for (int i = 0; i < node.min; ++i) from = TRY(Append(from, body));
        if (node.max < 0) {
          const int loop = Add();
          Link(from, loop);
          Link(TRY(Append(loop, body)), loop);
          const int to = Add();
          Link(loop, to);
          return to;
        }
        const int to = Add();
        for (int i = node.min; i < node.max; ++i) {
          Link(from, to);
          from = TRY(Append(from, body));
        }
        Link(from, to);
        return to;
      }
      case PatternKind::kLookAhead:
        return NotOffered("a look-ahead elsewhere than behind ^");
      case PatternKind::kWordEdge:
        return NotOffered("\\b and \\B");
      case PatternKind::kBegin:
      case PatternKind::kEnd:
        return NotOffered("^ and $ elsewhere than at the ends");
    }
    return from;
  }

  // One alternative of the outermost ones: anchors may stand at its ends. `begun`: as if behind ^.
  Result<int> Outer(int from, const RegexNode& node, Anchoring anchoring, bool begun) {
    if (node.kind == PatternKind::kAlternatives) {
      const int to = Add();
      for (const RegexNode& child : node.children) {
        const int begin = Add();
        Link(from, begin);
        Link(TRY(Outer(begin, child, anchoring, begun)), to);
      }
      return to;
    }
    std::vector<const RegexNode*> parts;
    if (node.kind == PatternKind::kSequence) {
      for (const RegexNode& child : node.children) parts.push_back(&child);
    } else {
      parts.push_back(&node);
    }
    bool end = false, begin = begun;
    while (!parts.empty() && parts.front()->kind == PatternKind::kBegin) {
      begin = true;
      parts.erase(parts.begin());
    }
    while (!parts.empty() && parts.back()->kind == PatternKind::kEnd) {
      end = true;
      parts.pop_back();
    }
    // A group alone may have anchors of its own.
    const bool group = parts.size() == 1 && (parts[0]->kind == PatternKind::kSequence ||
                                             parts[0]->kind == PatternKind::kAlternatives);
    if (group && !end) return Outer(from, *parts[0], anchoring, begin);
    if (anchoring == Anchoring::kSearch && !begin) from = Anything(from);
    for (const RegexNode* part : parts) from = TRY(Append(from, *part));
    return anchoring == Anchoring::kSearch && !end ? Anything(from) : from;
  }

 private:
  std::vector<State> states_;
};

// The subset construction.
class Subsets {
 public:
  static Result<Language> Of(const Thompson& parts, int end) {
    Subsets all(parts, end);
    (void)all.Number(all.Closure({0}));
    for (size_t i = 0; i < all.sets_.size(); ++i) {
      if (all.sets_.size() > kMaxLanguageStates) return TooLarge();
      std::vector<Language::Edge> edges = all.EdgesOf(*all.sets_[i]);
      all.out_.states_[i].edges = std::move(edges);
    }
    all.out_.Trim();
    return std::move(all.out_);
  }

 private:
  Subsets(const Thompson& parts, int end) : parts_(parts), end_(end) {}

  using Set = std::vector<int>;
  Set Closure(Set set) const {
    std::set<int> seen(set.begin(), set.end());
    while (!set.empty()) {
      const int at = set.back();
      set.pop_back();
      for (const int to : parts_.states()[static_cast<size_t>(at)].free) {
        if (seen.insert(to).second) set.push_back(to);
      }
    }
    return Set(seen.begin(), seen.end());
  }
  int Number(Set set) {
    const auto [it, is_new] = numbers_.try_emplace(std::move(set), static_cast<int>(sets_.size()));
    if (is_new) {
      sets_.push_back(&it->first);
      Language::State state;
      state.end = std::binary_search(it->first.begin(), it->first.end(), end_);
      out_.states_.push_back(std::move(state));
    }
    return it->second;
  }
  // Between two neighbouring borders of ranges all characters lead to the same states.
  std::vector<Language::Edge> EdgesOf(const Set& set) {
    std::vector<std::pair<CodeSet::Range, int>> ranges;
    std::vector<uint32_t> borders;
    for (const int at : set) {
      for (const auto& [codes, to] : parts_.states()[static_cast<size_t>(at)].edges) {
        for (const CodeSet::Range& range : codes.ranges()) {
          ranges.push_back({range, to});
          borders.push_back(range.first);
          borders.push_back(range.second + 1);
        }
      }
    }
    std::sort(ranges.begin(), ranges.end());
    std::sort(borders.begin(), borders.end());
    borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
    std::vector<Language::Edge> edges;
    std::multimap<uint32_t, int> open;  // by last character
    size_t next = 0;
    for (size_t i = 0; i + 1 < borders.size(); ++i) {
      for (; next < ranges.size() && ranges[next].first.first <= borders[i]; ++next) {
        open.emplace(ranges[next].first.second, ranges[next].second);
      }
      open.erase(open.begin(), open.lower_bound(borders[i]));
      if (open.empty()) continue;
      Set to;
      for (const auto& [last, target] : open) to.push_back(target);
      const int state = Number(Closure(std::move(to)));
      if (!edges.empty() && edges.back().to == state && edges.back().last + 1 == borders[i])
        edges.back().last = borders[i + 1] - 1;
      else
        edges.push_back({borders[i], borders[i + 1] - 1, state});
    }
    return edges;
  }

  const Thompson& parts_;
  int end_;
  std::map<Set, int> numbers_;
  std::vector<const Set*> sets_;
  Language out_;
};

Result<Language> Language::Of(const RegexNode& tree, Anchoring anchoring) {
  // Look-aheads in front are languages of their own: all that begins as they say, or does not.
  std::vector<const RegexNode*> looks;
  RegexNode rest;
  rest.kind = PatternKind::kSequence;
  bool begun = anchoring == Anchoring::kWhole;
  bool in_front = tree.kind == PatternKind::kSequence;
  if (in_front) {
    for (const RegexNode& part : tree.children) {
      in_front = in_front && (part.kind == PatternKind::kBegin ||
                              (begun && part.kind == PatternKind::kLookAhead));
      begun |= in_front;
      if (in_front && part.kind == PatternKind::kLookAhead) {
        looks.push_back(&part);
      } else {
        rest.children.push_back(part);
      }
    }
  }
  Thompson parts;
  const int start = parts.Add();
  const int end = TRY(parts.Outer(start, looks.empty() ? tree : rest, anchoring, false));
  Language all = TRY(Subsets::Of(parts, end));
  for (const RegexNode* look : looks) {
    Thompson ahead;
    const int from = ahead.Add();
    const int to = TRY(ahead.Outer(from, look->children.front(), Anchoring::kSearch, true));
    const Language seen = TRY(Subsets::Of(ahead, to));
    all = TRY(all.And(look->negative ? seen.Not() : seen));
  }
  return all;
}

Result<Language> Language::OfLength(int min, int max) {
  Language out;
  const int last = max < 0 ? min : max;
  if (static_cast<size_t>(last) >= kMaxLanguageStates) return TooLarge();
  for (int i = 0; i <= last; ++i) {
    State state;
    state.end = i >= min;
    const int to = i < last ? i + 1 : max < 0 ? i : -1;
    if (to >= 0) {
      for (const CodeSet::Range& range : AnyCharacter().ranges())
        state.edges.push_back({range.first, range.second, to});
    }
    out.states_.push_back(std::move(state));
  }
  out.Trim();
  return out;
}

Result<Language> Language::And(const Language& other) const {
  Language out;
  if (empty() || other.empty()) return out;
  std::map<std::pair<int, int>, int> numbers;
  std::vector<std::pair<int, int>> pairs;
  const auto number = [&](int a, int b) {
    const auto [it, is_new] = numbers.try_emplace({a, b}, static_cast<int>(pairs.size()));
    if (is_new) {
      pairs.push_back({a, b});
      out.states_.emplace_back();
      out.states_.back().end =
          states_[static_cast<size_t>(a)].end && other.states_[static_cast<size_t>(b)].end;
    }
    return it->second;
  };
  (void)number(0, 0);
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (pairs.size() > kMaxLanguageStates) return TooLarge();
    const std::vector<Edge>& mine = states_[static_cast<size_t>(pairs[i].first)].edges;
    const std::vector<Edge>& theirs = other.states_[static_cast<size_t>(pairs[i].second)].edges;
    std::vector<Edge> edges;
    for (size_t a = 0, b = 0; a < mine.size() && b < theirs.size();) {
      const uint32_t first = std::max(mine[a].first, theirs[b].first);
      const uint32_t last = std::min(mine[a].last, theirs[b].last);
      if (first <= last) edges.push_back({first, last, number(mine[a].to, theirs[b].to)});
      (mine[a].last < theirs[b].last ? a : b) += 1;
    }
    out.states_[i].edges = std::move(edges);
  }
  out.Trim();
  return out;
}

Language Language::Not() const {
  Language out = *this;
  const int everything = static_cast<int>(out.states_.size());
  if (out.states_.empty()) out.states_.emplace_back();  // it had no text: this has all
  if (everything > 0) out.states_.emplace_back();
  for (State& state : out.states_) {
    CodeSet left;
    for (const Edge& edge : state.edges) left.Add(edge.first, edge.last);
    left.Normalize();
    left.Negate();
    left.Intersect(AnyCharacter());
    for (const CodeSet::Range& range : left.ranges())
      state.edges.push_back({range.first, range.second, everything});
    std::sort(state.edges.begin(), state.edges.end(),
              [](const Edge& a, const Edge& b) { return a.first < b.first; });
    state.end = !state.end;
  }
  out.Trim();
  return out;
}

bool Language::empty() const { return states_.empty(); }

void Language::Trim() {
  std::vector<std::vector<int>> back(states_.size());
  std::vector<int> todo;
  std::vector<bool> lives(states_.size());
  for (size_t i = 0; i < states_.size(); ++i) {
    for (const Edge& edge : states_[i].edges)
      back[static_cast<size_t>(edge.to)].push_back(static_cast<int>(i));
    if (states_[i].end) {
      lives[i] = true;
      todo.push_back(static_cast<int>(i));
    }
  }
  while (!todo.empty()) {
    const int at = todo.back();
    todo.pop_back();
    for (const int from : back[static_cast<size_t>(at)]) {
      if (lives[static_cast<size_t>(from)]) continue;
      lives[static_cast<size_t>(from)] = true;
      todo.push_back(from);
    }
  }
  if (states_.empty() || !lives[0]) return states_.clear();
  std::vector<int> number(states_.size(), -1);
  std::vector<State> kept;
  for (size_t i = 0; i < states_.size(); ++i) {
    if (!lives[i]) continue;
    number[i] = static_cast<int>(kept.size());
    kept.push_back(std::move(states_[i]));
  }
  for (State& state : kept) {
    std::erase_if(state.edges, [&](Edge& edge) {
      edge.to = number[static_cast<size_t>(edge.to)];
      return edge.to < 0;
    });
  }
  states_ = std::move(kept);
}

NodeId Language::Node(Rules& rules, Spelling spelling) const {
  if (empty()) return rules.Never();
  std::vector<RuleId> ids;
  for (size_t i = 0; i < states_.size(); ++i) ids.push_back(rules.NewRule("a pattern"));
  for (size_t i = 0; i < states_.size(); ++i) {
    std::map<int, CodeSet> by_target;
    for (const Edge& edge : states_[i].edges) by_target[edge.to].Add(edge.first, edge.last);
    std::vector<NodeId> all;
    for (auto& [to, set] : by_target) {
      set.Normalize();
      all.push_back(rules.Sequence(
          {rules.Set(std::move(set), spelling), rules.Call(ids[static_cast<size_t>(to)])}));
    }
    if (states_[i].end) all.push_back(rules.Empty());
    rules.Define(ids[i], rules.Choice(std::move(all)));
  }
  return rules.Call(ids[0]);
}

}  // namespace weir::grammar
