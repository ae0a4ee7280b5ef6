#include "engine/grammar/automaton.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>

#include "base/check.h"
#include "engine/grammar/grammar.h"
#include "engine/model/utf8_class.h"

namespace weir::grammar {
namespace {

using Kind = Node::Kind;
using model::CodeSet;

constexpr size_t kSmallRule = 24;      // states; such a rule is written into its callers
constexpr size_t kLargeRepeat = 2048;  // states; the body of a larger repetition gets a rule
constexpr size_t kMaxNfa = 4 * kMaxStates;
constexpr size_t kLargeSet = 12;  // byte sequences; such a set gets a rule
constexpr int kMaxBuildDepth = 2000;

// One character range as sequences of byte ranges.
using ByteRange = std::pair<uint8_t, uint8_t>;
using ByteSequence = std::vector<ByteRange>;

// Splits [first, last] so that within each part the bytes of UTF-8 vary independently.
// Source: Thompson's and Cox's way of compiling ranges to UTF-8 (R. Cox, "utf8 ranges", 2010).
void AppendUtf8Ranges(uint32_t first, uint32_t last, std::vector<ByteSequence>& out) {
  for (const uint32_t limit : {0x7Fu, 0x7FFu, 0xFFFFu}) {  // where the length changes
    if (first <= limit && last > limit) {
      AppendUtf8Ranges(first, limit, out);
      AppendUtf8Ranges(limit + 1, last, out);
      return;
    }
  }
  if (last <= 0x7F) {
    out.push_back({{static_cast<uint8_t>(first), static_cast<uint8_t>(last)}});
    return;
  }
  for (uint32_t bits = 6; bits <= 18; bits += 6) {
    const uint32_t mask = (1u << bits) - 1;
    if ((first & ~mask) == (last & ~mask)) break;
    if ((first & mask) != 0) {
      AppendUtf8Ranges(first, first | mask, out);
      AppendUtf8Ranges((first | mask) + 1, last, out);
      return;
    }
    if ((last & mask) != mask) {
      AppendUtf8Ranges(first, (last & ~mask) - 1, out);
      AppendUtf8Ranges(last & ~mask, last, out);
      return;
    }
  }
  std::string a, b;
  model::AppendUtf8(first, a);
  model::AppendUtf8(last, b);
  ByteSequence sequence;
  for (size_t i = 0; i < a.size(); ++i) {
    sequence.emplace_back(static_cast<uint8_t>(a[i]), static_cast<uint8_t>(b[i]));
  }
  out.push_back(std::move(sequence));
}

std::vector<ByteSequence> SequencesOf(const CodeSet& set, Spelling spelling) {
  std::vector<ByteSequence> out;
  CodeSet plain = set;
  if (spelling == Spelling::kJsonString) {
    plain.Intersect(CodeSet{{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}});
    const auto literal = [&](std::string_view text) {
      ByteSequence sequence;
      for (const char c : text) {
        sequence.emplace_back(static_cast<uint8_t>(c), static_cast<uint8_t>(c));
      }
      out.push_back(std::move(sequence));
    };
    for (uint32_t c = 0; c <= 0x5C; ++c) {
      if (!(c < 0x20 || c == '"' || c == '\\') || !set.Contains(c)) continue;
      switch (c) {
        case '\b':
          literal("\\b");
          break;
        case '\f':
          literal("\\f");
          break;
        case '\n':
          literal("\\n");
          break;
        case '\r':
          literal("\\r");
          break;
        case '\t':
          literal("\\t");
          break;
        case '"':
          literal("\\\"");
          break;
        case '\\':
          literal("\\\\");
          break;
        default:
          literal(fmt::format("\\u{:04x}", c));
      }
    }
  }
  for (const auto& [first, last] : plain.ranges()) AppendUtf8Ranges(first, last, out);
  return out;
}

// A nondeterministic automaton: what rules are written as before they are made deterministic.
struct Nfa {
  struct Edge {
    uint8_t first, last;
    int32_t to;
  };
  struct State {
    std::vector<Edge> edges;
    std::vector<int32_t> empty;
    std::vector<std::pair<RuleId, int32_t>> calls;
  };
  std::vector<State> states;
  int32_t New() {
    states.emplace_back();
    return static_cast<int32_t>(states.size()) - 1;
  }
  State& operator[](int32_t i) { return states[static_cast<size_t>(i)]; }
};

class Builder {
 public:
  explicit Builder(const Rules& rules) : rules_(rules) {}

  Result<Automaton> Whole(RuleId root) {
    bodies_.resize(static_cast<size_t>(rules_.rules()));
    for (RuleId r = 0; r < rules_.rules(); ++r) {
      bodies_[static_cast<size_t>(r)].node = rules_.body(r);
      CHECK_MSG(rules_.body(r) >= 0, "rule {} is not defined", rules_.name(r));
    }
    FindRecursion();
    CountUses(root);
    // Rules are compiled as they are found to be called.
    wanted_.push_back(root);
    bodies_[static_cast<size_t>(root)].wanted = true;
    for (size_t i = 0; i < wanted_.size(); ++i) TRY(CompileRule(wanted_[i]));
    return Finish(root);
  }

 private:
  struct Body {
    NodeId node = -1;  // -1: a set or the body of a repetition, in `inner`
    const Node* set = nullptr;
    NodeId inner = -1;
    std::string name;
    bool recursive = false, wanted = false, nullable = false;
    size_t uses = 0;
    StateId start = -1;
  };
  struct Dfa {  // a state, before numbers are final
    std::vector<Automaton::Edge> edges;
    std::vector<std::pair<RuleId, StateId>> calls;
    bool end = false;
    RuleId owner = -1;
  };

  Error TooLarge() const {
    return Error(Code::kTooLarge, fmt::format("the form needs more than {} states", kMaxStates))
        .Hint("lower large bounds (maxLength, maxItems, {n,m}), or leave them out");
  }

  template <class F>
  void EachCall(NodeId node, const F& f) const {  // of a node's tree, not into rules
    std::vector<NodeId> todo = {node};
    while (!todo.empty()) {
      const Node& n = rules_.node(todo.back());
      todo.pop_back();
      if (n.kind == Kind::kCall) f(n.rule);
      todo.insert(todo.end(), n.children.begin(), n.children.end());
    }
  }

  // Tarjan's strongly connected components, without recursion: rules in a cycle are recursive.
  void FindRecursion() {
    const auto n = static_cast<size_t>(rules_.rules());
    std::vector<std::vector<RuleId>> calls(n);
    for (size_t r = 0; r < n; ++r) {
      EachCall(rules_.body(static_cast<RuleId>(r)), [&](RuleId c) { calls[r].push_back(c); });
    }
    std::vector<int> index(n, -1), low(n, 0);
    std::vector<bool> on_stack(n, false);
    std::vector<size_t> stack;
    int next = 0;
    struct Frame {
      size_t rule, child;
    };
    for (size_t root = 0; root < n; ++root) {
      if (index[root] >= 0) continue;
      std::vector<Frame> frames = {{root, 0}};
      while (!frames.empty()) {
        Frame& f = frames.back();
        const size_t r = f.rule;
        if (f.child == 0) {
          index[r] = low[r] = next++;
          stack.push_back(r);
          on_stack[r] = true;
        }
        bool down = false;
        while (f.child < calls[r].size()) {
          const auto c = static_cast<size_t>(calls[r][f.child++]);
          if (c == r) bodies_[r].recursive = true;
          if (index[c] < 0) {
            frames.push_back({c, 0});
            down = true;
            break;
          }
          if (on_stack[c]) low[r] = std::min(low[r], index[c]);
        }
        if (down) continue;
        if (f.child == 0) f.child = 1;  // (a rule without calls is not entered twice)
        if (low[r] == index[r]) {
          std::vector<size_t> component;
          for (;;) {
            const size_t c = stack.back();
            stack.pop_back();
            on_stack[c] = false;
            component.push_back(c);
            if (c == r) break;
          }
          if (component.size() > 1) {
            for (const size_t c : component) bodies_[c].recursive = true;
          }
        }
        frames.pop_back();
        if (!frames.empty()) {
          const size_t parent = frames.back().rule;
          low[parent] = std::min(low[parent], low[r]);
        }
      }
    }
  }

  void CountUses(RuleId root) {
    std::vector<RuleId> todo = {root};
    std::vector<bool> seen(bodies_.size());
    seen[static_cast<size_t>(root)] = true;
    while (!todo.empty()) {
      const RuleId r = todo.back();
      todo.pop_back();
      EachCall(rules_.body(r), [&](RuleId c) {
        ++bodies_[static_cast<size_t>(c)].uses;
        if (!seen[static_cast<size_t>(c)]) {
          seen[static_cast<size_t>(c)] = true;
          todo.push_back(c);
        }
      });
    }
  }

  // About how many states a node makes; stops counting when it is large.
  size_t SizeOf(NodeId id, int depth = 0) {
    constexpr size_t kLarge = 1 << 20;
    if (depth > kMaxBuildDepth) return kLarge;
    const Node& n = rules_.node(id);
    size_t size = 1;
    switch (n.kind) {
      case Kind::kNever:
        return 1;
      case Kind::kBytes:
        return n.bytes.size();
      case Kind::kSet:
        return 2;  // a larger one is called
      case Kind::kCall:
        return Inlined(n.rule) ? SizeOf(rules_.body(n.rule), depth + 1) : 1;
      case Kind::kRepeat: {
        const size_t body = SizeOf(n.children[0], depth + 1) + 1;
        return std::min(kLarge, body * static_cast<size_t>(std::max({1, n.min, n.max})));
      }
      default:
        for (const NodeId child : n.children) {
          size += SizeOf(child, depth + 1);
          if (size > kLarge) return kLarge;
        }
        return size;
    }
  }

  bool Inlined(RuleId rule) {
    Body& b = bodies_[static_cast<size_t>(rule)];
    if (b.recursive) return false;
    auto [it, fresh] = inlined_.try_emplace(rule, false);
    if (fresh) {
      const bool yes = b.uses <= 1 || SizeOf(rules_.body(rule)) <= kSmallRule;
      inlined_[rule] = yes;
      return yes;
    }
    return it->second;
  }

  RuleId MadeRule(Body body) {
    bodies_.push_back(std::move(body));
    return static_cast<RuleId>(bodies_.size()) - 1;
  }
  void Call(RuleId rule, int32_t from, int32_t to) {
    Body& b = bodies_[static_cast<size_t>(rule)];
    if (!b.wanted) {
      b.wanted = true;
      wanted_.push_back(rule);
    }
    nfa_[from].calls.emplace_back(rule, to);
  }

  void AddSequences(const std::vector<ByteSequence>& sequences, int32_t from, int32_t to) {
    // Equal tails share their states.
    std::map<std::tuple<uint8_t, uint8_t, int32_t>, int32_t> tails;
    for (const ByteSequence& sequence : sequences) {
      int32_t at = to;
      for (size_t i = sequence.size() - 1; i > 0; --i) {
        auto [it, fresh] = tails.try_emplace({sequence[i].first, sequence[i].second, at}, 0);
        if (fresh) {
          it->second = nfa_.New();
          nfa_[it->second].edges.push_back({sequence[i].first, sequence[i].second, at});
        }
        at = it->second;
      }
      nfa_[from].edges.push_back({sequence[0].first, sequence[0].second, at});
    }
  }

  Status Add(NodeId id, int32_t from, int32_t to, int depth) {
    if (nfa_.states.size() > kMaxNfa) return TooLarge();
    if (depth > kMaxBuildDepth) return Error(Code::kTooLarge, "the form is nested too deeply");
    const Node& n = rules_.node(id);
    switch (n.kind) {
      case Kind::kNever:
        return {};
      case Kind::kBytes: {
        int32_t at = from;
        for (size_t i = 0; i < n.bytes.size(); ++i) {
          const int32_t next = i + 1 == n.bytes.size() ? to : nfa_.New();
          const auto byte = static_cast<uint8_t>(n.bytes[i]);
          nfa_[at].edges.push_back({byte, byte, next});
          at = next;
        }
        if (n.bytes.empty()) nfa_[from].empty.push_back(to);
        return {};
      }
      case Kind::kSet: {
        auto [it, fresh] = sets_.try_emplace(id, -1);
        if (fresh) {
          // A large set is a rule of its own, and equal sets share it.
          std::vector<ByteSequence> sequences = SequencesOf(n.set, n.spelling);
          if (sequences.size() > kLargeSet) {
            for (const auto& [other, rule] : sets_) {
              if (rule >= 0 && rules_.node(other).set == n.set &&
                  rules_.node(other).spelling == n.spelling) {
                it->second = rule;
              }
            }
            if (it->second < 0) it->second = MadeRule({.set = &n, .name = "a set"});
          } else {
            AddSequences(sequences, from, to);
            return {};
          }
        }
        if (it->second >= 0) {
          Call(it->second, from, to);
        } else {
          AddSequences(SequencesOf(n.set, n.spelling), from, to);
        }
        return {};
      }
      case Kind::kSequence: {
        int32_t at = from;
        for (size_t i = 0; i < n.children.size(); ++i) {
          const int32_t next = i + 1 == n.children.size() ? to : nfa_.New();
          TRY(Add(n.children[i], at, next, depth + 1));
          at = next;
        }
        if (n.children.empty()) nfa_[from].empty.push_back(to);
        return {};
      }
      case Kind::kChoice:
        for (const NodeId child : n.children) {
          // A state of its own for each, so that a loop in one does not lead into another.
          const int32_t begin = nfa_.New(), end = nfa_.New();
          nfa_[from].empty.push_back(begin);
          nfa_[end].empty.push_back(to);
          TRY(Add(child, begin, end, depth + 1));
        }
        return {};
      case Kind::kRepeat:
        return Repeat(n, from, to, depth);
      case Kind::kCall:
        if (Inlined(n.rule)) {
          const int32_t begin = nfa_.New(), end = nfa_.New();
          nfa_[from].empty.push_back(begin);
          nfa_[end].empty.push_back(to);
          return Add(rules_.body(n.rule), begin, end, depth + 1);
        }
        Call(n.rule, from, to);
        return {};
    }
    return {};
  }

  Status Repeat(const Node& n, int32_t from, int32_t to, int depth) {
    const NodeId body = n.children[0];
    RuleId called = -1;
    const int copies = std::max({1, n.min, n.max});
    if (copies > 1 && static_cast<size_t>(copies) * SizeOf(body) > kLargeRepeat) {
      auto [it, fresh] = repeated_.try_emplace(body, -1);
      if (fresh) it->second = MadeRule({.inner = body, .name = "a repeated part"});
      called = it->second;
    }
    const auto add = [&](int32_t a, int32_t b) -> Status {
      if (called < 0) return Add(body, a, b, depth + 1);
      Call(called, a, b);
      return {};
    };
    int32_t at = nfa_.New();
    nfa_[from].empty.push_back(at);
    for (int i = 0; i < n.min; ++i) {
      const int32_t next = nfa_.New();
      TRY(add(at, next));
      at = next;
    }
    if (n.max < 0) {
      const int32_t loop = nfa_.New(), back = nfa_.New();
      nfa_[at].empty.push_back(loop);
      TRY(add(loop, back));
      nfa_[back].empty.push_back(loop);
      nfa_[loop].empty.push_back(to);
      return {};
    }
    for (int i = n.min; i < n.max; ++i) {
      const int32_t next = nfa_.New();
      nfa_[at].empty.push_back(to);
      TRY(add(at, next));
      at = next;
    }
    nfa_[at].empty.push_back(to);
    return {};
  }

  // Everything that is reached without reading.
  void Close(std::vector<int32_t>& set) {
    ++stamp_;
    if (seen_.size() < nfa_.states.size()) seen_.resize(nfa_.states.size(), 0);
    size_t n = 0;
    std::vector<int32_t> todo = std::move(set);
    set.clear();
    for (; n < todo.size(); ++n) {
      const int32_t s = todo[n];
      if (seen_[static_cast<size_t>(s)] == stamp_) continue;
      seen_[static_cast<size_t>(s)] = stamp_;
      set.push_back(s);
      for (const int32_t e : nfa_[s].empty) todo.push_back(e);
    }
    // States that only pass on tell nothing; without them equal sets look equal.
    std::erase_if(set, [&](int32_t s) {
      return nfa_[s].edges.empty() && nfa_[s].calls.empty() && s != nfa_end_;
    });
    std::sort(set.begin(), set.end());
  }

  struct HashSet {
    size_t operator()(const std::vector<int32_t>& v) const {
      uint64_t h = v.size();
      for (const int32_t x : v)
        h = (h ^ static_cast<uint32_t>(x)) * 0x9E3779B97F4A7C15u, h ^= h >> 29;
      return h;
    }
  };

  Status CompileRule(RuleId rule) {
    nfa_.states.clear();
    const int32_t begin = nfa_.New();
    nfa_end_ = nfa_.New();
    {
      const Body b = bodies_[static_cast<size_t>(rule)];
      if (b.set != nullptr) {
        AddSequences(SequencesOf(b.set->set, b.set->spelling), begin, nfa_end_);
      } else {
        TRY(Add(b.inner >= 0 ? b.inner : b.node, begin, nfa_end_, 0));
      }
    }
    std::unordered_map<std::vector<int32_t>, StateId, HashSet> known;
    std::vector<std::vector<int32_t>> sets;
    const auto state_of = [&](std::vector<int32_t> set) {
      Close(set);
      auto [it, fresh] = known.try_emplace(set, static_cast<StateId>(dfa_.size()));
      if (fresh) {
        dfa_.emplace_back();
        dfa_.back().owner = rule;
        dfa_.back().end = std::binary_search(set.begin(), set.end(), nfa_end_);
        sets.push_back(std::move(set));
      }
      return it->second;
    };
    const auto base = static_cast<StateId>(dfa_.size());
    bodies_[static_cast<size_t>(rule)].start = state_of({begin});
    for (size_t i = 0; i < sets.size(); ++i) {
      if (dfa_.size() > kMaxStates) return TooLarge();
      const std::vector<int32_t> set = sets[i];
      std::vector<Nfa::Edge> edges;
      std::map<RuleId, std::vector<int32_t>> calls;
      std::vector<int> cuts;  // where the set of targets may change
      for (const int32_t s : set) {
        for (const Nfa::Edge& e : nfa_[s].edges) {
          edges.push_back(e);
          cuts.push_back(e.first);
          cuts.push_back(e.last + 1);
        }
        for (const auto& [called, to] : nfa_[s].calls) calls[called].push_back(to);
      }
      std::sort(cuts.begin(), cuts.end());
      cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
      std::vector<Automaton::Edge> made;
      for (size_t k = 0; k + 1 < cuts.size(); ++k) {
        std::vector<int32_t> targets;
        for (const Nfa::Edge& e : edges) {
          if (e.first <= cuts[k] && e.last >= cuts[k]) targets.push_back(e.to);
        }
        if (targets.empty()) continue;
        const StateId to = state_of(std::move(targets));
        const auto first = static_cast<uint8_t>(cuts[k]);
        const auto last = static_cast<uint8_t>(cuts[k + 1] - 1);
        if (!made.empty() && made.back().to == to && made.back().last + 1 == first) {
          made.back().last = last;
        } else {
          made.push_back({first, last, to});
        }
      }
      std::vector<std::pair<RuleId, StateId>> made_calls;
      for (auto& [called, targets] : calls) {
        made_calls.emplace_back(called, state_of(std::move(targets)));
      }
      Dfa& state = dfa_[static_cast<size_t>(base) + i];
      state.edges = std::move(made);
      state.calls = std::move(made_calls);
    }
    return {};
  }

  const std::string& NameOf(RuleId rule) const {
    return rule < rules_.rules() ? rules_.name(rule) : bodies_[static_cast<size_t>(rule)].name;
  }

  Result<Automaton> Finish(RuleId root) {
    // Which states can reach the end of their rule: backwards, until nothing changes. Edges back
    // are indexed, so this is linear in edges but for the calls, which wait for their rule.
    const size_t n = dfa_.size();
    std::vector<std::vector<StateId>> before(n);
    std::vector<std::vector<std::pair<StateId, StateId>>> waiting(bodies_.size());  // from, to
    std::vector<bool> alive(n), rule_alive(bodies_.size());
    std::vector<StateId> todo;
    for (size_t s = 0; s < n; ++s) {
      for (const auto& e : dfa_[s].edges) {
        before[static_cast<size_t>(e.to)].push_back(static_cast<StateId>(s));
      }
      for (const auto& [rule, to] : dfa_[s].calls) {
        waiting[static_cast<size_t>(rule)].emplace_back(static_cast<StateId>(s), to);
      }
      if (dfa_[s].end) {
        alive[s] = true;
        todo.push_back(static_cast<StateId>(s));
      }
    }
    while (!todo.empty()) {
      const auto s = static_cast<size_t>(todo.back());
      todo.pop_back();
      const auto wake = [&](StateId from) {
        if (alive[static_cast<size_t>(from)]) return;
        alive[static_cast<size_t>(from)] = true;
        todo.push_back(from);
      };
      for (const StateId from : before[s]) wake(from);
      const auto rule = static_cast<size_t>(dfa_[s].owner);
      if (bodies_[rule].start == static_cast<StateId>(s) && !rule_alive[rule]) {
        rule_alive[rule] = true;
        for (const auto& [from, to] : waiting[rule]) {
          before[static_cast<size_t>(to)].push_back(from);
          if (alive[static_cast<size_t>(to)]) wake(from);
        }
      }
    }
    const StateId start = bodies_[static_cast<size_t>(root)].start;
    if (!alive[static_cast<size_t>(start)]) {
      return Error(Code::kInvalidArgument, "no text has this form")
          .Hint("something that is required contradicts itself or never ends");
    }
    TRY(RefuseLeftRecursion(rule_alive));
    SpreadEnds();

    Automaton made;
    made.start = start;
    made.states.resize(n);
    for (size_t s = 0; s < n; ++s) {
      Automaton::State& state = made.states[s];
      state.end = dfa_[s].end;
      state.edges = static_cast<uint32_t>(made.edges.size());
      for (const Automaton::Edge& e : dfa_[s].edges) {
        if (alive[static_cast<size_t>(e.to)]) made.edges.push_back(e);
      }
      state.edge_count = static_cast<uint32_t>(made.edges.size()) - state.edges;
      state.calls = static_cast<uint32_t>(made.calls.size());
      for (const auto& [rule, to] : dfa_[s].calls) {
        if (!rule_alive[static_cast<size_t>(rule)] || !alive[static_cast<size_t>(to)]) continue;
        const Dfa& after = dfa_[static_cast<size_t>(to)];
        made.calls.push_back({bodies_[static_cast<size_t>(rule)].start, to,
                              after.end && after.edges.empty() && after.calls.empty()});
      }
      state.call_count = static_cast<uint32_t>(made.calls.size()) - state.calls;
    }
    return made;
  }

  // A rule that calls itself before it reads a byte would be entered without end.
  Status RefuseLeftRecursion(const std::vector<bool>& rule_alive) {
    // Nullable rules first: those whose end is reached by calls of nullable rules alone.
    for (bool changed = true; changed;) {
      changed = false;
      for (const RuleId rule : wanted_) {
        Body& b = bodies_[static_cast<size_t>(rule)];
        if (b.nullable) continue;
        bool end = false;
        EachAtStart(rule, [&](const Dfa& s) { end |= s.end; });
        if (end) b.nullable = changed = true;
      }
    }
    std::vector<int> mark(bodies_.size());  // 1: being looked at, 2: done
    for (const RuleId root : wanted_) {
      if (mark[static_cast<size_t>(root)] != 0) continue;
      std::vector<std::pair<RuleId, bool>> todo = {{root, false}};  // second: leaving
      while (!todo.empty()) {
        const auto [rule, leaving] = todo.back();
        todo.pop_back();
        int& m = mark[static_cast<size_t>(rule)];
        if (leaving) {
          m = 2;
          continue;
        }
        if (m != 0) continue;
        m = 1;
        todo.emplace_back(rule, true);
        RuleId bad = -1;
        EachAtStart(rule, [&](const Dfa& s) {
          for (const auto& [called, to] : s.calls) {
            if (!rule_alive[static_cast<size_t>(called)]) continue;
            if (mark[static_cast<size_t>(called)] == 1) bad = called;
            if (mark[static_cast<size_t>(called)] == 0) todo.emplace_back(called, false);
          }
        });
        if (bad >= 0) {
          return Error(
                     Code::kInvalidArgument,
                     fmt::format("the rule {} calls itself before it reads anything", NameOf(bad)))
              .Hint("write the repetition with * or +, or put the call at the end");
        }
      }
    }
    return {};
  }

  // From where calls that may read nothing lead to an end, the rule may end too: a matcher that
  // does not know the caller, or has none, has only the state's word for it.
  void SpreadEnds() {
    std::vector<std::vector<StateId>> before(dfa_.size());
    std::vector<StateId> ends;
    for (size_t s = 0; s < dfa_.size(); ++s) {
      for (const auto& [rule, to] : dfa_[s].calls) {
        if (bodies_[static_cast<size_t>(rule)].nullable)
          before[static_cast<size_t>(to)].push_back(static_cast<StateId>(s));
      }
      if (dfa_[s].end) ends.push_back(static_cast<StateId>(s));
    }
    while (!ends.empty()) {
      const auto at = static_cast<size_t>(ends.back());
      ends.pop_back();
      for (const StateId from : before[at]) {
        bool& end = dfa_[static_cast<size_t>(from)].end;
        if (!end) ends.push_back(from);
        end = true;
      }
    }
  }

  // The states of a rule that are reached before a byte is read.
  template <class F>
  void EachAtStart(RuleId rule, const F& f) const {
    std::vector<StateId> states = {bodies_[static_cast<size_t>(rule)].start};
    for (size_t i = 0; i < states.size(); ++i) {
      const Dfa& s = dfa_[static_cast<size_t>(states[i])];
      f(s);
      for (const auto& [called, to] : s.calls) {
        if (!bodies_[static_cast<size_t>(called)].nullable) continue;
        if (std::find(states.begin(), states.end(), to) == states.end()) states.push_back(to);
      }
    }
  }

  const Rules& rules_;
  std::vector<Body> bodies_;  // rules, then sets and repeated parts that became rules
  std::vector<RuleId> wanted_;
  std::map<RuleId, bool> inlined_;
  std::map<NodeId, RuleId> sets_, repeated_;
  Nfa nfa_;
  int32_t nfa_end_ = 0;
  std::vector<uint32_t> seen_;
  uint32_t stamp_ = 0;
  std::vector<Dfa> dfa_;
};

}  // namespace

Result<Automaton> Build(const Rules& rules, RuleId root) { return Builder(rules).Whole(root); }

}  // namespace weir::grammar
