// A backtracking matcher for the patterns by which tokenizers cut text: the meaning that
// tokenizer.json gives them (leftmost, first alternative, greedy, look-ahead).
//
// Text is decoded once for each piece; runs of one set ("\p{L}+") are a single step back and forth,
// so the patterns in use take time linear in the text. Others are cut off: see kMaxPatternSteps.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/model/utf8_regex.h"

namespace weir::model {

inline constexpr int64_t kMaxPatternSteps = 1'000'000;

class SplitRegex {
 public:
  static Result<std::shared_ptr<const SplitRegex>> Create(std::string_view pattern);
  // All matches in order, as [begin, end) in bytes; they do not overlap and may be empty.
  std::vector<std::pair<size_t, size_t>> FindAll(std::string_view text) const;

 private:
  enum class Op : uint8_t {
    kSet,
    kSpan,
    kSplit,
    kJump,
    kBegin,
    kEnd,
    kWordEdge,
    kLook,
    kAtomic,
    kMark,      // remembers the place in slot a
    kProgress,  // fails at the place that slot a remembers: a loop that read nothing
    kMatch
  };
  struct Instruction {
    Op op;
    bool flag = false, lazy = false;
    int a = 0, b = 0;       // set; targets
    int min = 0, max = -1;  // kSpan
  };
  struct Set {
    uint64_t ascii[2] = {0, 0};
    CodeSet codes;
  };
  struct Run;

  Status Compile(const RegexNode& node);
  int AddSet(const CodeSet& codes);
  bool In(int set, uint32_t code) const {
    const Set& s = sets_[static_cast<size_t>(set)];
    return code < 128 ? (s.ascii[code >> 6] >> (code & 63) & 1) != 0 : s.codes.Contains(code);
  }
  // The end of the match of the program at `pc` from `at`; -1: none.
  int64_t Match(Run& run, int pc, int64_t at) const;

  std::vector<Instruction> program_;
  std::vector<Set> sets_;
  int slots_ = 0;
};

}  // namespace weir::model
