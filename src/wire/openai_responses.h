// POST /v1/responses: OpenAI's newer form of a chat. A request becomes a ChatRequest; an answer is
// a list of items (reasoning, a message, function calls), told as it grows by named events.
//
//   response.created, response.in_progress
//     response.output_item.added                       for each item:
//       response.content_part.added                      reasoning and messages
//         response.output_text.delta ... .done           or response.reasoning_text.delta ... .done
//       response.content_part.done
//       response.function_call_arguments.delta ... .done function calls
//     response.output_item.done
//   response.completed | response.incomplete | response.failed
//
// Nothing is kept between requests: previous_response_id, conversation and background are refused,
// "store" is answered as false.
// Threads: ParseResponsesRequest is pure; one ResponseAnswer, one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wire/openai_chat.h"

namespace weir::wire {

struct ResponsesRequest {
  ChatRequest chat;      // instructions and input as messages, tools in the form of chat
  std::string repeated;  // the members of the answer that repeat the request: `"tools":[..],...`
};
std::optional<ApiError> ParseResponsesRequest(std::string_view body, ResponsesRequest& out,
                                              const Generation& defaults = {});

class ResponseAnswer {
 public:
  // `number` makes the ids of the answer and of its items.
  ResponseAnswer(uint64_t number, int64_t created_s, std::string model,
                 const ResponsesRequest& request);

  // Each takes the next piece of the answer, in order, and returns the events that tell it.
  std::string Begin();
  std::string Reasoning(std::string_view text);
  std::string Text(std::string_view text, std::span<const TokenLogprob> logprobs);
  std::string ToolCall(const ToolCallPart& part);
  // "completed", "incomplete" (max_output_tokens was reached) or, with `error`, "failed".
  std::string Finish(bool incomplete, const Usage& usage, const ApiError* error = nullptr);

  // The answer as one object: after Finish, the body of an answer that is not streamed.
  std::string Body() const;

 private:
  enum class Kind : uint8_t { kReasoning, kMessage, kCall };
  struct Item {
    Kind kind = Kind::kMessage;
    std::string id, text;       // text: also a call's arguments
    std::string call_id, name;  // kCall
    std::string logprobs;       // the list's inside
    bool done = false;
  };
  Item& Open(Kind kind, std::string& events);
  void Close(std::string& events);
  void Event(std::string& events, std::string_view name, std::string_view members);
  std::string ItemJson(const Item& item) const;
  static std::string PartJson(const Item& item);
  std::string Place(bool with_content) const;  // `"item_id":..,"output_index":..`

  std::string id_, model_, repeated_;
  uint64_t number_;
  int64_t created_s_;
  std::vector<Item> items_;
  std::string status_ = "in_progress", incomplete_ = "null", error_ = "null", usage_ = "null";
  int64_t sequence_ = 0;
  int open_call_ = -1;
};

}  // namespace weir::wire
