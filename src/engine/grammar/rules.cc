#include "engine/grammar/rules.h"

#include "base/check.h"

namespace weir::grammar {

NodeId Rules::Add(Node node) {
  nodes_.push_back(std::move(node));
  return static_cast<NodeId>(nodes_.size()) - 1;
}

NodeId Rules::Bytes(std::string_view bytes) {
  Node node;
  node.kind = Node::Kind::kBytes;
  node.bytes = bytes;
  return Add(std::move(node));
}

NodeId Rules::Special(std::string_view token) {
  return Bytes(std::string(1, kSpecialMark) + std::string(token));
}

NodeId Rules::Set(model::CodeSet set, Spelling spelling) {
  Node node;
  node.kind = Node::Kind::kSet;
  set.Intersect(AnyCharacter());
  if (set.empty()) return Never();
  node.set = std::move(set);
  node.spelling = spelling;
  return Add(std::move(node));
}

NodeId Rules::Sequence(std::vector<NodeId> parts) {
  if (parts.size() == 1) return parts.front();
  Node node;
  node.kind = Node::Kind::kSequence;
  node.children = std::move(parts);
  return Add(std::move(node));
}

NodeId Rules::Choice(std::vector<NodeId> alternatives) {
  if (alternatives.size() == 1) return alternatives.front();
  Node node;
  node.kind = alternatives.empty() ? Node::Kind::kNever : Node::Kind::kChoice;
  node.children = std::move(alternatives);
  return Add(std::move(node));
}

NodeId Rules::Repeat(NodeId body, int min, int max) {
  CHECK(min >= 0 && (max < 0 || max >= min));
  Node node;
  node.kind = Node::Kind::kRepeat;
  node.children = {body};
  node.min = min;
  node.max = max;
  return Add(std::move(node));
}

NodeId Rules::Call(RuleId rule) {
  Node node;
  node.kind = Node::Kind::kCall;
  node.rule = rule;
  return Add(std::move(node));
}

RuleId Rules::NewRule(std::string name) {
  rules_.push_back({std::move(name), -1});
  return static_cast<RuleId>(rules_.size()) - 1;
}

const model::CodeSet& AnyCharacter() {
  static const model::CodeSet set{{0, 0xD7FF}, {0xE000, 0x10FFFF}};
  return set;
}

}  // namespace weir::grammar
