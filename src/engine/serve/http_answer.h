// From the engine's events to the answer of one HTTP request, whole or as a stream. A request of
// the API may be several of the engine ("parts": prompts, inputs), each with n choices.
//
// Threads: Take comes from the engine's thread, Refuse from the connection's; a mutex stands
// between them, and the exchange is touched only under it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/serve/chat_output.h"
#include "engine/serve/engine.h"
#include "io/http_server.h"
#include "wire/openai_chat.h"
#include "wire/openai_completion.h"
#include "wire/openai_responses.h"

namespace weir::serve {

io::HttpResponse ErrorResponse(const wire::ApiError& error);
std::string_view NameOf(Finish finish);  // "stop" or "length"

class HttpAnswer {
 public:
  HttpAnswer(io::HttpExchangePtr exchange, bool stream, size_t parts)
      : exchange_(std::move(exchange)), stream_(stream), left_(parts) {}
  virtual ~HttpAnswer() = default;

  void Take(size_t part, const Event& event);
  // What could not even begin, or not go on. Later events are passed over.
  void Refuse(const wire::ApiError& error);

 protected:
  // All under the mutex; `out` collects what a stream says next and is not looked at otherwise.
  virtual void Begin(std::string& /*out*/) {}
  virtual void On(size_t part, const Event& event, std::string& out) = 0;
  virtual std::string Body() = 0;
  virtual void End(std::string& out) = 0;
  virtual void Fail(const wire::ApiError& error, std::string& out);
  bool streams() const { return stream_; }

 private:
  void Refused(const wire::ApiError& error);

  const io::HttpExchangePtr exchange_;
  const bool stream_;
  std::mutex mutex_;  // guards what follows, and what the classes below have
  size_t left_;
  bool begun_ = false, over_ = false;
};

// ---- /v1/completions -------------------------------------------------------------------------

struct CompletionPart {
  int64_t prompt_tokens = 0;
  std::string echo;  // the prompt's text, where it is asked for
  // The prompt's first token, whose logprob nobody knows; empty: the prompt began with a token of
  // ours, and the first one that shows has a logprob.
  std::string first_token;
};

class CompletionAnswer final : public HttpAnswer {
 public:
  CompletionAnswer(io::HttpExchangePtr exchange, wire::AnswerHead head,
                   const wire::CompletionRequest& request, std::vector<CompletionPart> parts);

 private:
  struct Choice {
    std::string text;
    std::vector<wire::TokenLogprob> logprobs;
    int64_t offset = 0, tokens = 0;
    bool echoed = false;
    Finish finish = Finish::kStop;
  };
  void On(size_t part, const Event& event, std::string& out) override;
  std::string Body() override;
  void End(std::string& out) override;
  void Echo(size_t part, size_t index, std::string& out);
  void Say(size_t index, std::string_view text, std::string_view finish,
           const std::vector<wire::TokenLogprob>& logprobs, bool first_is_unknown,
           std::string& out);
  wire::Usage Used() const;

  const wire::AnswerHead head_;
  const size_t n_;
  const bool wants_logprobs_, include_usage_;
  std::vector<CompletionPart> parts_;
  std::vector<std::vector<wire::TokenLogprob>> prompt_logprobs_;  // by part
  std::vector<Choice> choices_;                                   // part * n + choice
  int64_t cached_tokens_ = 0;
};

// ---- /v1/chat/completions --------------------------------------------------------------------

class ChatAnswer final : public HttpAnswer {
 public:
  ChatAnswer(io::HttpExchangePtr exchange, wire::AnswerHead head, const wire::ChatRequest& request,
             const ChatOutputOptions& output, int64_t prompt_tokens);

 private:
  struct Choice {
    explicit Choice(const ChatOutputOptions& options) : output(options) {}
    ChatOutput output;
    std::string content, thinking;
    std::vector<wire::ToolCallPart> calls;
    std::vector<wire::TokenLogprob> logprobs;
    int64_t tokens = 0, thinking_tokens = 0;
    std::string finish;
  };
  void Begin(std::string& out) override;
  void On(size_t part, const Event& event, std::string& out) override;
  std::string Body() override;
  void End(std::string& out) override;
  wire::Usage Used() const;

  const wire::AnswerHead head_;
  const bool wants_logprobs_, include_usage_;
  wire::Usage usage_;
  std::vector<Choice> choices_;
};

// ---- /v1/responses ---------------------------------------------------------------------------

class ResponsesAnswer final : public HttpAnswer {
 public:
  ResponsesAnswer(io::HttpExchangePtr exchange, wire::ResponseAnswer answer,
                  const wire::ChatRequest& request, const ChatOutputOptions& output,
                  int64_t prompt_tokens);

 private:
  void Begin(std::string& out) override { out += answer_.Begin(); }
  void On(size_t part, const Event& event, std::string& out) override;
  std::string Body() override { return answer_.Body(); }
  void End(std::string&) override {}
  void Fail(const wire::ApiError& error, std::string& out) override;

  wire::ResponseAnswer answer_;
  ChatOutput output_;
  std::vector<wire::TokenLogprob> pending_;  // of text that is held back
  wire::Usage usage_;
};

// ---- /v1/embeddings --------------------------------------------------------------------------

class EmbeddingAnswer final : public HttpAnswer {
 public:
  EmbeddingAnswer(io::HttpExchangePtr exchange, std::string model, bool base64, size_t inputs,
                  int64_t prompt_tokens);

 private:
  void On(size_t part, const Event& event, std::string& out) override;
  std::string Body() override;
  void End(std::string&) override {}

  const std::string model_;
  const bool base64_;
  const int64_t prompt_tokens_;
  std::vector<std::vector<float>> vectors_;
};

}  // namespace weir::serve
