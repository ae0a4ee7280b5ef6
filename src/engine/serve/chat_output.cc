#include "engine/serve/chat_output.h"

#include <algorithm>
#include <utility>

#include "engine/serve/chat_format.h"

namespace weir::serve {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

// How much of the end of `text` may be the beginning of `mark`.
size_t HeldBack(std::string_view text, std::string_view mark) {
  for (size_t n = std::min(text.size(), mark.size() - 1); n > 0; --n) {
    if (text.ends_with(mark.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

ThinkingSplitter::Parts ThinkingSplitter::Advance(std::string_view text, bool final) {
  Parts out;
  held_ += text;
  if (state_ == State::kStart) {
    const size_t blanks = std::min(held_.find_first_not_of(kBlanks), held_.size());
    const std::string_view rest = std::string_view(held_).substr(blanks);
    if (rest.starts_with(kThinkOpen)) {
      held_.erase(0, blanks + kThinkOpen.size());
      state_ = State::kInside;
    } else if (final || !kThinkOpen.starts_with(rest)) {
      state_ = State::kAfter;
    } else {
      return out;
    }
  }
  if (state_ == State::kInside) {
    const size_t end = held_.find(kThinkClose);
    if (end == std::string::npos) {
      const size_t keep = final ? 0 : HeldBack(held_, kThinkClose);
      out.thinking = held_.substr(0, held_.size() - keep);
      held_.erase(0, out.thinking.size());
      return out;
    }
    out.thinking = held_.substr(0, end);
    held_.erase(0, end + kThinkClose.size());
    state_ = State::kGap;
  }
  if (state_ == State::kGap) {
    const size_t blanks = std::min(held_.find_first_not_of(kBlanks), held_.size());
    held_.erase(0, blanks);
    if (!held_.empty()) state_ = State::kAfter;
  }
  out.content = std::exchange(held_, {});
  return out;
}

ChatOutput::ChatOutput(const ChatOutputOptions& options) {
  if (options.split_thinking) splitter_.emplace(options.thinking);
  if (options.tools) parser_.emplace(options.format, options.tool_names, options.id_seed);
}

void ChatOutput::Content(std::string_view text, bool final, Parts& out) {
  if (!parser_) {
    out.content += text;
    return;
  }
  const auto take = [&](templates::ToolDelta delta) {
    out.content += delta.content;
    for (templates::ToolCallDelta& call : delta.calls) out.calls.push_back(std::move(call));
  };
  if (!text.empty()) take(parser_->Push(text));
  if (final) take(parser_->Finish());
}

ChatOutput::Parts ChatOutput::Push(std::string_view text) {
  Parts out;
  if (!splitter_) {
    Content(text, /*final=*/false, out);
    return out;
  }
  ThinkingSplitter::Parts parts = splitter_->Push(text);
  out.thinking = std::move(parts.thinking);
  Content(parts.content, /*final=*/false, out);
  return out;
}

ChatOutput::Parts ChatOutput::Finish() {
  Parts out;
  ThinkingSplitter::Parts parts;
  if (splitter_) parts = splitter_->Finish();
  out.thinking = std::move(parts.thinking);
  Content(parts.content, /*final=*/true, out);
  return out;
}

}  // namespace weir::serve
