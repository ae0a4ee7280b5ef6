// Any bytes as a request to any endpoint: parsed within its bounds, or refused with an error whose
// body is JSON; what is parsed can be written back.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "wire/openai_chat.h"
#include "wire/openai_completion.h"
#include "wire/openai_embeddings.h"
#include "wire/openai_responses.h"
#include "wire/openai_tokens.h"

namespace {

using namespace weir::wire;
using nlohmann::json;

bool Refused(const std::optional<ApiError>& error) {
  if (!error) return false;
  CHECK(error->status == 400 && !error->message.empty());
  CHECK(json::accept(ErrorBody(*error)));
  return true;
}

void CheckGeneration(const Generation& g) {
  CHECK(g.temperature >= 0 && g.temperature <= 2 && g.min_p >= 0 && g.min_p <= 1);
  CHECK(g.top_p > 0 && g.top_p <= 1 && g.top_k >= 0 && g.repetition_penalty > 0);
  CHECK(g.stop.size() <= kMaxStops && g.n >= 1 && g.n <= kMaxChoices);
  CHECK(g.logit_bias.size() <= kMaxLogitBiases && g.format.text.size() <= kMaxFormatBytes);
  for (const auto& [id, bias] : g.logit_bias) CHECK(id >= 0 && std::abs(bias) <= 100);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  if (CompletionRequest r; !Refused(ParseCompletionRequest(body, r))) {
    CheckGeneration(r);
    CHECK(!r.prompts.empty() && r.prompts.size() * static_cast<size_t>(r.n) <= kMaxChoices);
    const CompletionChoice choice{.text = r.prompts[0].text, .finish_reason = "stop"};
    CHECK(json::accept(CompletionBody({"id", 0, r.model}, {&choice, 1}, {})));
  }
  if (ChatRequest r; !Refused(ParseChatRequest(body, r))) {
    CheckGeneration(r);
    CHECK(!r.messages->empty() && r.tools->size() == r.tool_names.size());
    const std::string text(body);
    const ToolCallPart call{0, "id", text, text};
    const ChatChoice choice{.content = text, .tool_calls = {&call, 1}};
    CHECK(json::accept(ChatBody({"id", 0, r.model}, {&choice, 1}, {})));
  }
  if (ResponsesRequest r; !Refused(ParseResponsesRequest(body, r))) {
    CheckGeneration(r.chat);
    ResponseAnswer answer(1, 2, r.chat.model, r);
    answer.Begin();
    answer.Text(body, {});
    answer.ToolCall({0, "id", "name", std::string(body)});
    answer.Finish(false, {});
    CHECK(json::accept(answer.Body()));
  }
  if (EmbeddingRequest r; !Refused(ParseEmbeddingRequest(body, r))) CHECK(!r.inputs.empty());
  if (TokenizeRequest r; !Refused(ParseTokenizeRequest(body, r))) {
    CHECK(json::accept(TokenizeBody({1, 2}, {std::string(body), "x"}, 5)));
  }
  if (DetokenizeRequest r; !Refused(ParseDetokenizeRequest(body, r))) {
    for (const int32_t id : r.tokens) CHECK(id >= 0);
  }
  PeekRoute(body);
  return 0;
}
