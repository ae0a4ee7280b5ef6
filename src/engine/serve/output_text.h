// The text of one answer as its tokens arrive: whole characters only, and nothing that might still
// turn out to be part of a stop string. The text ends before the first stop string.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/model/tokenizer.h"

namespace weir::serve {

class OutputText {
 public:
  // Stop strings are not empty. Control tokens leave no text, but for those in `shown`. The
  // tokenizer outlives this.
  OutputText(const model::Tokenizer& tokenizer, std::vector<std::string> stops,
             std::span<const model::Tokenizer::TokenId> shown = {});
  // The text that is safe to send. Nothing more comes once stopped().
  std::string Push(model::Tokenizer::TokenId id);
  // What was held back, at the end of an answer that no stop string ended.
  std::string Finish();
  bool stopped() const { return stopped_; }

 private:
  std::string Release(bool final);

  model::StreamDecoder decoder_;
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace weir::serve
