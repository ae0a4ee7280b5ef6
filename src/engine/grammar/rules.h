// A form as a tree: what JSON Schemas, regular expressions and grammars are turned into, and what
// automaton.h makes an automaton of. Nodes are numbers into one table; a node may stand in several
// places.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/utf8_set.h"

namespace weir::grammar {

using NodeId = int32_t;
using RuleId = int32_t;

// How a character of a set is written.
enum class Spelling : uint8_t {
  kPlain,       // as UTF-8
  kJsonString,  // as within a JSON string: quote, backslash and control characters escaped, each in
                // one way
};

struct Node {
  enum class Kind : uint8_t { kNever, kBytes, kSet, kSequence, kChoice, kRepeat, kCall };
  Kind kind = Kind::kNever;
  std::string bytes;  // empty: nothing at all matches it
  model::CodeSet set;
  Spelling spelling = Spelling::kPlain;
  std::vector<NodeId> children;
  int min = 0, max = -1;  // kRepeat; -1: no end
  RuleId rule = -1;
};

class Rules {
 public:
  NodeId Never() { return Add({}); }
  NodeId Empty() { return Bytes(""); }
  NodeId Bytes(std::string_view bytes);
  NodeId Special(std::string_view token);  // the special token with this text
  NodeId Set(model::CodeSet set, Spelling spelling = Spelling::kPlain);
  NodeId Sequence(std::vector<NodeId> parts);
  NodeId Choice(std::vector<NodeId> alternatives);
  NodeId Repeat(NodeId body, int min, int max);
  NodeId Optional(NodeId body) { return Repeat(body, 0, 1); }
  NodeId Call(RuleId rule);

  // A rule may be called before it is defined.
  RuleId NewRule(std::string name);
  void Define(RuleId rule, NodeId body) { rules_[static_cast<size_t>(rule)].body = body; }
  RuleId Rule(std::string name, NodeId body) {
    const RuleId rule = NewRule(std::move(name));
    Define(rule, body);
    return rule;
  }

  const Node& node(NodeId id) const { return nodes_[static_cast<size_t>(id)]; }
  NodeId body(RuleId rule) const { return rules_[static_cast<size_t>(rule)].body; }
  const std::string& name(RuleId rule) const { return rules_[static_cast<size_t>(rule)].name; }
  int rules() const { return static_cast<int>(rules_.size()); }
  size_t nodes() const { return nodes_.size(); }

 private:
  NodeId Add(Node node);
  struct Named {
    std::string name;
    NodeId body = -1;
  };
  std::vector<Node> nodes_;
  std::vector<Named> rules_;
};

// The byte that begins a special token's name: never part of UTF-8, so never part of text.
inline constexpr char kSpecialMark = '\xFF';

// All characters but surrogates.
const model::CodeSet& AnyCharacter();

}  // namespace weir::grammar
