// What a chat model says, taken apart as it comes: its thinking, its answer, its tool calls.
//
//   text --> thinking: <think> ... </think> --> tool calls (engine/template) --> content
//
// Thinking is taken apart only at the very beginning of an answer; a mark that comes later is text.
// Nothing that may still become a mark is given out.
// Threads: one answer, one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/template/tool_calls.h"

namespace weir::serve {

class ThinkingSplitter {
 public:
  // `inside`: the prompt has opened the thinking already.
  explicit ThinkingSplitter(bool inside) : state_(inside ? State::kInside : State::kStart) {}
  struct Parts {
    std::string thinking, content;
  };
  Parts Push(std::string_view text) { return Advance(text, /*final=*/false); }
  Parts Finish() { return Advance({}, /*final=*/true); }

 private:
  //   kStart: blanks, or the beginning of <think>   kInside: up to </think>
  //   kGap: blanks after it                         kAfter: all is content
  enum class State : uint8_t { kStart, kInside, kGap, kAfter };
  Parts Advance(std::string_view text, bool final);

  State state_;
  std::string held_;
};

struct ChatOutputOptions {
  bool split_thinking = false;
  bool thinking = false;  // the prompt has opened it
  bool tools = false;
  templates::ToolFormat format = templates::ToolFormat::kPlain;
  std::vector<std::string> tool_names;
  uint64_t id_seed = 0;
};

class ChatOutput {
 public:
  explicit ChatOutput(const ChatOutputOptions& options);
  struct Parts {
    std::string thinking, content;
    std::vector<templates::ToolCallDelta> calls;
  };
  Parts Push(std::string_view text);
  Parts Finish();
  bool called() const { return parser_ && parser_->calls() > 0; }

 private:
  void Content(std::string_view text, bool final, Parts& out);

  std::optional<ThinkingSplitter> splitter_;
  std::optional<templates::ToolCallParser> parser_;
};

}  // namespace weir::serve
