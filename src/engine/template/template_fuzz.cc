// Any bytes as a template, run on a small conversation within small bounds; and as the output of a
// model, read as tool calls of every format.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "engine/template/chat_template.h"
#include "engine/template/tool_calls.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::templates;
  static const nlohmann::ordered_json variables = nlohmann::ordered_json::parse(R"({
    "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": " é 日 "},
                 {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1.5]}}}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  RenderOptions options;
  options.limits = {.steps = 20000, .output_bytes = 1 << 16, .memory_bytes = 1 << 22};
  if (const auto made = ChatTemplate::Parse(text); made) (void)made->Render(variables, options);
  for (const ToolFormat format :
       {ToolFormat::kPlain, ToolFormat::kHermes, ToolFormat::kLlama3, ToolFormat::kMistral}) {
    ToolCallParser parser(format, {"f"}, size);
    const size_t half = size / 2;
    (void)parser.Push(text.substr(0, half));
    (void)parser.Push(text.substr(half));
    (void)parser.Finish();
  }
  return 0;
}
