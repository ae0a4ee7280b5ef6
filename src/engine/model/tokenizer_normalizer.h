// What a tokenizer does to text before it looks for tokens: the "normalizer" of tokenizer.json.
// Text that is not UTF-8 passes the Unicode forms unchanged. Only for tokenizer*.cc.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::model {

class SplitRegex;

struct NormalizerStep {
  enum class Kind : uint8_t {
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kLowercase,
    kStripAccents,
    kPrepend,    // `with` before a text that is not empty
    kReplace,    // `what` by `with`; an expression where `regex` is set
    kStrip,      // white space at the ends
    kCleanText,  // no control characters; white space is a space
    kSpaceCjk    // spaces around Chinese characters
  };
  Kind kind = Kind::kNfc;
  std::string what, with;
  bool regex = false;
  bool left = true, right = true;  // kStrip
  std::shared_ptr<const SplitRegex> compiled;
};

class Normalizer {
 public:
  Status Add(NormalizerStep step);
  bool empty() const { return steps_.empty(); }
  std::string Apply(std::string_view text) const;
  const std::vector<NormalizerStep>& steps() const { return steps_; }

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace weir::model
