// Chat templates as models bring them: Jinja, the part of it that templates use, run by an
// interpreter that can reach nothing but its variables.
//
//   auto t = TRY(ChatTemplate::Parse(source));
//   std::string prompt = TRY(t.Render({{"messages", messages}, {"add_generation_prompt", true},
//                                      {"bos_token", "<s>"}, {"eos_token", "</s>"}}, {}));
//
// Offered
//   statements  if/elif/else, for/else (with filter and `recursive`-free loop.*), break, continue,
//               set (also blocks and namespace attributes), macro, call, filter blocks, generation,
//               comments, raw
//   expressions literals, ., [], slices, calls with keywords, + - * / // % ** ~, comparisons (also
//               chained), and/or/not, in, is, x if y else z, filters
//   whitespace  -, + and trim_blocks and lstrip_blocks, which transformers sets
//   filters, tests and methods are listed by name in interpreter.cc
// The meaning is that of Jinja2 in the sandbox that transformers uses, tojson included (it writes
// as Python's json.dumps does). What is not known is an error with line and column, never ignored.
//
// Bounds    see TemplateLimits; parsing is bounded by the size of the source and kMaxNesting.
// Threads   immutable after Parse; Render may run in parallel.
// Errors    kInvalidArgument "template:LINE:COLUMN: ..." for what is wrong in the template, and for
//           raise_exception (its own words); kTooLarge past a bound.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::templates {

inline constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
inline constexpr int kMaxNesting = 100;

struct TemplateLimits {
  int64_t steps = 5'000'000;                  // expressions and statements evaluated
  size_t output_bytes = size_t{64} << 20;     // of the text, and of any string on the way
  int64_t memory_bytes = int64_t{512} << 20;  // values made, in total
};

struct RenderOptions {
  int64_t now_s = 0;  // seconds since 1970 UTC, for strftime_now
  TemplateLimits limits;
};

struct Program;

class ChatTemplate {
 public:
  static Result<ChatTemplate> Parse(std::string_view source);
  // `variables` is an object; each member is a variable of the template.
  Result<std::string> Render(const nlohmann::ordered_json& variables,
                             const RenderOptions& options) const;
  // Does the template look at this variable at all ("tools", "enable_thinking")?
  bool Mentions(std::string_view variable) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
  std::shared_ptr<const Program> program_;
};

// Messages of an API request as templates expect them: "content" lists of text parts become one
// string, tool calls' "arguments" become objects (the API has them as JSON text), and an absent
// "content" is null. Errors name the message.
Result<nlohmann::ordered_json> PrepareMessages(const nlohmann::ordered_json& messages);

// A template for models that bring none: ChatML.
std::string_view DefaultTemplate();

}  // namespace weir::templates
