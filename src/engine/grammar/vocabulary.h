// A Vocabulary's trie: every token as the path of its bytes, written down in depth-first order, so
// that a walk is one pass over arrays and skipping a branch is a jump.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/grammar/grammar.h"

namespace weir::grammar {

struct Vocabulary::Impl {
  struct TrieNode {
    uint32_t end = 0;     // the node behind this one's subtree
    uint32_t tokens = 0;  // the first token that ends here or later, in `sorted`
    uint16_t depth = 0;   // of the root: 0
    uint8_t byte = 0;
  };
  // nodes[0] is the root; a last one behind all others ends the lists of tokens.
  std::vector<TrieNode> nodes;
  std::vector<TokenId> sorted;    // token ids by bytes
  std::vector<std::string> text;  // bytes by id; special ones as grammar/rules.h spells them
  std::vector<TokenId> stops;
  std::vector<uint8_t> is_stop;
  size_t longest = 0;
};

}  // namespace weir::grammar
