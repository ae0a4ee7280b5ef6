#include "engine/serve/output_text.h"

#include <algorithm>
#include <utility>

namespace weir::serve {

OutputText::OutputText(const model::Tokenizer& tokenizer, std::vector<std::string> stops,
                       std::span<const model::Tokenizer::TokenId> shown)
    : decoder_(tokenizer), stops_(std::move(stops)) {
  for (const model::Tokenizer::TokenId id : shown) decoder_.Show(id);
}

std::string OutputText::Push(model::Tokenizer::TokenId id) {
  if (stopped_) return {};
  held_ += decoder_.Push(id);
  return Release(/*final=*/false);
}

std::string OutputText::Finish() {
  if (stopped_) return {};
  held_ += decoder_.Finish();
  return Release(/*final=*/true);
}

std::string OutputText::Release(bool final) {
  size_t end = std::string::npos;
  for (const std::string& stop : stops_) end = std::min(end, held_.find(stop));
  if (end != std::string::npos) {
    stopped_ = true;
    return held_.substr(0, end);
  }
  if (final) return std::exchange(held_, {});
  // The longest end of the text that is the beginning of a stop string waits.
  size_t keep = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
      if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) keep = n;
    }
  }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

}  // namespace weir::serve
