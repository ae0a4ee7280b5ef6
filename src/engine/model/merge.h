// The two merge loops behind the tokenizers. Both take a word and join neighbours until no rule
// applies; they differ in where the rules come from.
//
//   MergeTable   byte-level BPE: (left id, right id) -> rank and joined id. The lowest rank goes
//                first, the leftmost of equals.
//   SpmMerge     SentencePiece: two neighbours join if their bytes together are a piece. The best
//                score goes first, the leftmost of equals.
//
// Short words are merged in place by looking for the best pair again each time (quadratic, but in
// a few cache lines); longer ones through a heap of candidates over a linked list: n log n, so a
// megabyte without a space is no weapon. MergeTable::ApplyReference is the loop as the paper has
// it. Threads: const methods may run in parallel.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/model/token_map.h"

namespace weir::model {

class MergeTable {
 public:
  struct Rule {
    int32_t rank = -1;
    int32_t joined = -1;
  };
  // rules[i] joins pairs[i] with rank i. The first rule of a pair wins.
  void Build(std::span<const std::pair<int32_t, int32_t>> pairs, std::span<const int32_t> joined);
  Rule Find(int32_t left, int32_t right) const {  // rank -1: none
    const uint64_t key = Key(left, right);
    for (size_t i = Hash(key) & mask_;; i = (i + 1) & mask_) {
      if (slots_[i].rule.rank < 0 || slots_[i].key == key) return slots_[i].rule;
    }
  }
  // Joins ids in place and shrinks the vector.
  void Apply(std::vector<int32_t>& ids) const;
  void ApplyReference(std::vector<int32_t>& ids) const;

 private:
  void ApplyShort(std::vector<int32_t>& ids) const;
  void ApplyLong(std::vector<int32_t>& ids) const;
  static uint64_t Key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  static uint64_t Hash(uint64_t key) {
    key *= 0x9E3779B97F4A7C15u;
    return key ^ (key >> 32);
  }
  struct Slot {
    uint64_t key = 0;
    Rule rule;
  };
  std::vector<Slot> slots_ = std::vector<Slot>(1);
  size_t mask_ = 0;
};

// Cuts `word` into UTF-8 characters, joins, and appends the pieces as views into `word`.
void SpmMerge(std::string_view word, const TokenMap& pieces, std::span<const float> scores,
              size_t longest_piece, std::vector<std::string_view>& out);

}  // namespace weir::model
