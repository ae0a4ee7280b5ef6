// The inside of a replica: replica.cc has the server and what is asked with GET, replica_text.cc
// the endpoints that generate, replica_tokens.cc embeddings and tokens.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "engine/serve/chat_format.h"
#include "engine/serve/http_answer.h"
#include "engine/serve/output_constraint.h"
#include "engine/serve/replica.h"
#include "io/http_router.h"
#include "io/http_server.h"
#include "wire/openai_chat.h"
#include "wire/openai_completion.h"
#include "wire/openai_request.h"
#include "wire/openai_responses.h"

namespace weir::serve {

// Several engine requests of one HTTP request: submitted a few at a time, cancelled together when
// the client goes.
class Submission : public std::enable_shared_from_this<Submission> {
 public:
  Submission(Engine& engine, std::shared_ptr<HttpAnswer> answer,
             std::vector<GenerateRequest> requests, size_t at_once);
  // Once; from then on events come.
  void Start(io::HttpExchange& exchange);

 private:
  void SubmitNext();  // does nothing when all are submitted
  void CancelAll();

  Engine& engine_;
  const std::shared_ptr<HttpAnswer> answer_;
  const size_t at_once_;
  std::mutex mutex_;  // guards what follows
  std::vector<GenerateRequest> requests_;
  std::vector<uint64_t> ids_;
  size_t next_ = 0;
  bool cancelled_ = false;
};

// A thread for what would hold up the connections' loop: a form is bounded in the states it may
// have, but those may take a second to find. One at a time, in order, at most kMostWaiting more.
class SideThread {
 public:
  static constexpr size_t kMostWaiting = 32;
  SideThread();
  ~SideThread();                          // Stop()
  bool Post(std::function<void()> work);  // false: too many wait, or it was stopped
  void Stop();                            // finishes what it is at; what waits is dropped

 private:
  void Run();
  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::deque<std::function<void()>> waiting_;
  bool stop_ = false;
  std::thread thread_;
};

struct Replica::Impl {
  Impl(std::shared_ptr<const model::Model> m, const ReplicaOptions& o, const io::Clock& c,
       ChatFormat f);

  // replica.cc
  void Routes();
  bool Admit(io::HttpExchange& exchange);  // is the key right? Answers if not
  std::vector<wire::ModelInfo> Models() const;
  // The adapter that `model` names ("" for the base model), or what is wrong with the name.
  std::optional<wire::ApiError> FindModel(const std::string& model, std::string& adapter) const;
  uint64_t NextRandom();
  int64_t NowSeconds() const { return clock.Now().us / 1'000'000; }

  // replica_text.cc
  void Complete(const io::HttpExchangePtr& exchange);
  void Chat(const io::HttpExchangePtr& exchange);
  void Responses(const io::HttpExchangePtr& exchange);
  // `rest` at once, or on the side thread where a form may have to be compiled first.
  void Continue(const io::HttpExchangePtr& exchange, bool compiles, std::function<void()> rest);
  void CompletePrepared(const io::HttpExchangePtr& exchange,
                        const wire::CompletionRequest& request);
  void ChatPrepared(const io::HttpExchangePtr& exchange, const wire::ChatRequest& request);
  void ResponsesPrepared(const io::HttpExchangePtr& exchange,
                         const wire::ResponsesRequest& request);
  struct Conversation {  // a chat request, ready to be asked
    GenerateRequest generate;
    ChatOutputOptions output;
  };
  std::optional<wire::ApiError> PrepareChat(const wire::ChatRequest& request,
                                            const io::HttpRequest& http, std::string_view param,
                                            Conversation& out);
  // What a request says about sampling, stops, form and urgency; the prompt is in `out` already.
  std::optional<wire::ApiError> Fill(const wire::Generation& request, const io::HttpRequest& http,
                                     int64_t default_max_tokens, std::string_view prompt_param,
                                     GenerateRequest& out);
  std::optional<wire::ApiError> Constrain(const wire::OutputFormat& format, bool thinks,
                                          GenerateRequest& out);
  void Ask(const io::HttpExchangePtr& exchange, std::shared_ptr<HttpAnswer> answer,
           std::vector<GenerateRequest> requests, size_t at_once);

  // replica_tokens.cc
  void Embed(const io::HttpExchangePtr& exchange);
  void Tokenize(const io::HttpExchangePtr& exchange);
  void Detokenize(const io::HttpExchangePtr& exchange);
  // The ids of a prompt; text is taken with its control tokens, and the model's first token before
  // it. `began`: that token was added.
  std::optional<wire::ApiError> TokensOf(const wire::Prompt& prompt, std::string_view param,
                                         bool add_special, std::vector<int32_t>& out,
                                         bool* began = nullptr) const;
  std::optional<wire::ApiError> CheckIds(const std::vector<int32_t>& ids,
                                         std::string_view param) const;
  std::string TextOf(std::span<const int32_t> ids) const;

  const std::shared_ptr<const model::Model> model;
  ReplicaOptions options;
  const io::Clock& clock;
  const ChatFormat format;
  const wire::Generation defaults;  // of what a request leaves out
  OutputConstraints constraints;
  std::mutex mutex;  // guards random
  Random random;
  const int64_t started_s;
  std::atomic<bool> draining = false;
  std::unique_ptr<Engine> engine;
  io::HttpRouter router;
  std::unique_ptr<io::HttpServer> server;
  SideThread side;
};

// Weir-Key, Weir-Tier, Weir-Deadline-Ms, and a request's priority, as the engine has them.
void TakeUrgency(const io::HttpRequest& http, int64_t priority, GenerateRequest& out);

}  // namespace weir::serve
