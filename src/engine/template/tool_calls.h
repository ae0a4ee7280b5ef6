// Tool calls as the model families write them, to and from OpenAI's tool_calls.
//
//   kHermes   Qwen, Hermes:  <tool_call>\n{"name": "f", "arguments": {...}}\n</tool_call>, repeated
//   kLlama3   Llama 3.x:     {"name": "f", "parameters": {...}} as the whole answer, after
//                            <|python_tag|> or not; several are divided by ";"
//   kMistral  Mistral:       [TOOL_CALLS][{"name": "f", "arguments": {...}, "id": "..."}, ...], and
//                            the newer [TOOL_CALLS]name[ARGS]{...}, repeated
//   kPlain    a template that knows no tools: the JSON of kHermes as the whole answer
//
// ToolCallParser takes text as it is decoded, in pieces of any size, and gives out what the client
// may see: content at once (but for an end that may still become a marker), a call's name when
// it is complete and its arguments as they come, byte for byte as the model wrote them. What begins
// like a call and is none becomes content again; one that ends in the middle of its arguments is
// marked as cut.
// Threads: one parser, one sequence. Bounds: kMaxHeldBytes of text held back, kMaxToolCalls calls.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::templates {

enum class ToolFormat : uint8_t { kPlain, kHermes, kLlama3, kMistral };
std::string_view NameOf(ToolFormat format);

inline constexpr int kMaxToolCalls = 128;
inline constexpr size_t kMaxHeldBytes = size_t{1} << 16;

// What the text of a chat template says about the model's format.
ToolFormat DetectToolFormat(std::string_view chat_template);
// The special tokens that are part of the format: a decoder must write them out
// (StreamDecoder::Show) for the parser to see them.
std::vector<std::string> ToolMarkers(ToolFormat format);

struct ToolCallDelta {
  int index = 0;          // of the call within the answer
  std::string id;         // with the first delta of a call, "call_..." or the model's own
  std::string name;       // with the first delta of a call
  std::string arguments;  // the next part of the JSON text
};
struct ToolDelta {
  std::string content;
  std::vector<ToolCallDelta> calls;
};

class ToolCallParser {
 public:
  // `id_seed` makes the ids of this answer's calls: another answer, another seed. In formats
  // without a marker, JSON that names none of `tools` is content (an empty list: any name will do).
  ToolCallParser(ToolFormat format, std::vector<std::string> tools, uint64_t id_seed);
  ToolDelta Push(std::string_view text);
  ToolDelta Finish();
  int calls() const { return calls_; }  // begun so far; > 0: finish_reason is "tool_calls"
  bool cut() const { return cut_; }     // the last call ended in the middle

 private:
  enum class State : uint8_t;
  bool Step(ToolDelta& out, bool final);  // false: nothing more without more text
  bool Content(ToolDelta& out, bool final);
  bool Head(ToolDelta& out);
  bool Arguments(ToolDelta& out);
  bool Tail();
  bool After();
  void Begin(ToolDelta& out, const std::string& name, std::string id);
  void GiveUp(ToolDelta& out, size_t bytes);  // the next `bytes` are content after all

  ToolFormat format_;
  std::vector<std::string> tools_;
  uint64_t id_seed_;
  State state_;
  int calls_ = 0;
  bool cut_ = false;
  std::string held_;      // text that has not been given out
  size_t head_ = 0;       // where in it a call begins, behind its marker
  bool started_ = false;  // formats without a marker: the answer is text
  bool in_list_ = false;  // [{...}, ...]
  bool wrapped_ = false;  // the arguments are a member of an object
  struct Brackets {       // of the arguments, read a character at a time
    bool Closes(char c);
    int depth = 0;
    bool in_string = false, escaped = false;
  } brackets_;
};

// The grammar (grammar/ebnf.h) of an answer that must call a tool: `tools` as in the request
// ([{"type": "function", "function": {"name", "parameters"}}]); `name` empty for
// tool_choice "required", else the one that must be called. `parallel`: more than one call.
Result<std::string> ToolGrammar(ToolFormat format, const nlohmann::ordered_json& tools,
                                std::string_view name, bool parallel);

}  // namespace weir::templates
