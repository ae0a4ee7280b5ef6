#include "engine/grammar/regex_rules.h"

#include <algorithm>

#include "engine/model/utf8_regex.h"

namespace weir::grammar {
namespace {

using model::RegexNode;
using RegexKind = RegexNode::Kind;

class RegexMaker {
 public:
  RegexMaker(Rules& rules, Anchoring anchoring, Spelling spelling)
      : rules_(rules), anchoring_(anchoring), spelling_(spelling) {}

  // One alternative of the outermost ones: anchors may stand at its ends.
  Result<NodeId> Outer(const RegexNode& node) {
    if (node.kind == RegexKind::kAlternatives) {
      std::vector<NodeId> all;
      for (const RegexNode& child : node.children) all.push_back(TRY(Outer(child)));
      return rules_.Choice(std::move(all));
    }
    std::vector<const RegexNode*> parts;
    if (node.kind == RegexKind::kSequence) {
      for (const RegexNode& child : node.children) parts.push_back(&child);
    } else {
      parts.push_back(&node);
    }
    bool begin = false, end = false;
    while (!parts.empty() && parts.front()->kind == RegexKind::kBegin) {
      begin = true;
      parts.erase(parts.begin());
    }
    while (!parts.empty() && parts.back()->kind == RegexKind::kEnd) {
      end = true;
      parts.pop_back();
    }
    // A group alone between its anchors may have anchors of its own.
    if (!begin && !end && parts.size() == 1 && parts[0]->kind == RegexKind::kSequence) {
      return Outer(*parts[0]);
    }
    std::vector<NodeId> all;
    if (anchoring_ == Anchoring::kSearch && !begin) all.push_back(Anything());
    for (const RegexNode* part : parts) all.push_back(TRY(Inner(*part)));
    if (anchoring_ == Anchoring::kSearch && !end) all.push_back(Anything());
    return rules_.Sequence(std::move(all));
  }

 private:
  NodeId Anything() { return rules_.Repeat(rules_.Set(AnyCharacter(), spelling_), 0, -1); }

  Result<NodeId> Inner(const RegexNode& node) {
    switch (node.kind) {
      case RegexKind::kEmpty:
        return rules_.Empty();
      case RegexKind::kSet:
        return rules_.Set(node.set, spelling_);
      case RegexKind::kSequence:
      case RegexKind::kAlternatives: {
        std::vector<NodeId> all;
        for (const RegexNode& child : node.children) all.push_back(TRY(Inner(child)));
        return node.kind == RegexKind::kSequence ? rules_.Sequence(std::move(all))
                                                 : rules_.Choice(std::move(all));
      }
      case RegexKind::kRepeat:
        return rules_.Repeat(TRY(Inner(node.children.front())), node.min, node.max);
      case RegexKind::kLookAhead:
        return NotOffered("look-ahead");
      case RegexKind::kWordEdge:
        return NotOffered("\\b and \\B");
      case RegexKind::kBegin:
      case RegexKind::kEnd:
        return NotOffered("^ and $ elsewhere than at the ends");
    }
    return rules_.Never();
  }

  static Error NotOffered(std::string_view what) {
    return Error(Code::kUnimplemented,
                 "pattern: " + std::string(what) + " cannot be held to token by token");
  }

  Rules& rules_;
  Anchoring anchoring_;
  Spelling spelling_;
};

}  // namespace

Result<NodeId> RegexNodeOf(Rules& rules, std::string_view pattern, Anchoring anchoring,
                           Spelling spelling) {
  const RegexNode tree = TRY(model::ParseRegex(pattern, model::RegexDialect::kEcma));
  return RegexMaker(rules, anchoring, spelling).Outer(tree);
}

}  // namespace weir::grammar
