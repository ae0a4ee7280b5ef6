#include "engine/serve/http_answer.h"

#include <utility>

#include "wire/openai_embeddings.h"

namespace weir::serve {
namespace {

wire::ApiError Interrupted() {
  return {.status = 503,
          .message = "The replica stopped before this answer was complete; send the request again",
          .type = "server_error",
          .code = "unavailable",
          .retry_after_s = 1};
}

wire::ApiError Late() {
  return {.status = 504,
          .message = "The answer was not complete by the deadline that the request gave",
          .type = "server_error",
          .code = "deadline_exceeded"};
}

}  // namespace

io::HttpResponse ErrorResponse(const wire::ApiError& error) {
  io::HttpResponse response = io::JsonResponse(error.status, wire::ErrorBody(error));
  if (error.retry_after_s) {
    response.headers.push_back({"Retry-After", std::to_string(*error.retry_after_s)});
  }
  return response;
}

std::string_view NameOf(Finish finish) { return finish == Finish::kLength ? "length" : "stop"; }

void HttpAnswer::Take(size_t part, const Event& event) {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  if (event.done && event.finish == Finish::kFailed) return Refused(Interrupted());
  if (event.done && event.finish == Finish::kDeadline) return Refused(Late());
  std::string out;
  if (stream_ && !begun_) {
    exchange_->Begin(200, {{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-cache"}});
    Begin(out);
    begun_ = true;
  }
  On(part, event, out);
  if (event.last) --left_;
  over_ = left_ == 0;
  if (!stream_) {
    if (over_) exchange_->Answer(io::JsonResponse(200, Body()));
    return;
  }
  if (over_) End(out);
  if (!out.empty()) exchange_->Write(out);
  if (over_) exchange_->End();
}

void HttpAnswer::Refuse(const wire::ApiError& error) {
  const std::lock_guard lock(mutex_);
  if (!over_) Refused(error);
}

void HttpAnswer::Refused(const wire::ApiError& error) {
  over_ = true;
  if (!begun_) return exchange_->Answer(ErrorResponse(error));
  std::string out;
  Fail(error, out);
  exchange_->Write(out);
  exchange_->End();
}

void HttpAnswer::Fail(const wire::ApiError& error, std::string& out) {
  out += wire::ErrorEvent(error);
}

// ---- /v1/completions -------------------------------------------------------------------------

CompletionAnswer::CompletionAnswer(io::HttpExchangePtr exchange, wire::AnswerHead head,
                                   const wire::CompletionRequest& request,
                                   std::vector<CompletionPart> parts)
    : HttpAnswer(std::move(exchange), request.stream, parts.size()),
      head_(std::move(head)),
      n_(static_cast<size_t>(request.n)),
      wants_logprobs_(request.logprobs.has_value()),
      include_usage_(request.include_usage),
      parts_(std::move(parts)),
      prompt_logprobs_(parts_.size()),
      choices_(parts_.size() * n_) {}

// A piece of one choice: kept for the whole answer, or said at once.
void CompletionAnswer::Say(size_t index, std::string_view text, std::string_view finish,
                           const std::vector<wire::TokenLogprob>& logprobs, bool first_is_unknown,
                           std::string& out) {
  Choice& choice = choices_[index];
  if (!streams()) {
    choice.text += text;
    choice.logprobs.insert(choice.logprobs.end(), logprobs.begin(), logprobs.end());
    return;
  }
  if (text.empty() && finish.empty() && logprobs.empty()) return;
  wire::CompletionChoice said{
      .index = static_cast<int>(index), .text = text, .finish_reason = finish};
  if (!logprobs.empty()) {
    said.logprobs = {logprobs, choice.offset, first_is_unknown};
    for (const wire::TokenLogprob& token : logprobs) {
      choice.offset += wire::CountCharacters(token.token);
    }
  }
  out += wire::CompletionEvent(head_, said, include_usage_);
}

void CompletionAnswer::Echo(size_t part, size_t index, std::string& out) {
  choices_[index].echoed = true;
  const CompletionPart& p = parts_[part];
  std::vector<wire::TokenLogprob> logprobs;
  if (wants_logprobs_ && !p.echo.empty()) {
    if (!p.first_token.empty()) logprobs.push_back({p.first_token, 0, {}});
    logprobs.insert(logprobs.end(), prompt_logprobs_[part].begin(), prompt_logprobs_[part].end());
  }
  Say(index, p.echo, {}, logprobs, !p.first_token.empty(), out);
}

void CompletionAnswer::On(size_t part, const Event& event, std::string& out) {
  const size_t index = part * n_ + static_cast<size_t>(event.choice);
  Choice& choice = choices_[index];
  auto& prompt = prompt_logprobs_[part];
  prompt.insert(prompt.end(), event.prompt_logprobs.begin(), event.prompt_logprobs.end());
  if (choice.tokens == 0) cached_tokens_ += event.choice == 0 ? event.cached_tokens : 0;
  choice.tokens = event.completion_tokens;
  if (!choice.echoed && (event.done || choice.tokens > 0)) Echo(part, index, out);
  Say(index, event.text, {}, event.logprobs, false, out);
  if (!event.done) return;
  choice.finish = event.finish;
  if (streams()) Say(index, {}, NameOf(event.finish), {}, false, out);
}

wire::Usage CompletionAnswer::Used() const {
  wire::Usage usage{.cached_tokens = cached_tokens_};
  for (const CompletionPart& part : parts_) usage.prompt_tokens += part.prompt_tokens;
  for (const Choice& choice : choices_) usage.completion_tokens += choice.tokens;
  return usage;
}

std::string CompletionAnswer::Body() {
  std::vector<wire::CompletionChoice> all;
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = choices_[i];
    all.push_back({.index = static_cast<int>(i),
                   .text = choice.text,
                   .finish_reason = NameOf(choice.finish)});
    if (!wants_logprobs_) continue;
    const bool unknown = !parts_[i / n_].echo.empty() && !parts_[i / n_].first_token.empty();
    all.back().logprobs = {choice.logprobs, 0, unknown};
  }
  return wire::CompletionBody(head_, all, Used());
}

void CompletionAnswer::End(std::string& out) {
  if (include_usage_) out += wire::CompletionUsageEvent(head_, Used());
  out += wire::kDoneEvent;
}

// ---- /v1/chat/completions --------------------------------------------------------------------

ChatAnswer::ChatAnswer(io::HttpExchangePtr exchange, wire::AnswerHead head,
                       const wire::ChatRequest& request, const ChatOutputOptions& output,
                       int64_t prompt_tokens)
    : HttpAnswer(std::move(exchange), request.stream, 1),
      head_(std::move(head)),
      wants_logprobs_(request.logprobs.has_value()),
      include_usage_(request.include_usage),
      usage_{.prompt_tokens = prompt_tokens} {
  ChatOutputOptions each = output;
  for (int i = 0; i < request.n; ++i) {
    each.id_seed = SeedOfChoice(output.id_seed, i);
    choices_.emplace_back(each);
  }
}

void ChatAnswer::Begin(std::string& out) {
  for (size_t i = 0; i < choices_.size(); ++i) {
    out += wire::ChatEvent(head_, {.index = static_cast<int>(i), .first = true}, include_usage_);
  }
}

void ChatAnswer::On(size_t /*part*/, const Event& event, std::string& out) {
  Choice& choice = choices_[static_cast<size_t>(event.choice)];
  const int64_t fresh = event.completion_tokens - choice.tokens;
  choice.tokens = event.completion_tokens;
  if (event.choice == 0) usage_.cached_tokens = event.cached_tokens;
  ChatOutput::Parts said = choice.output.Push(event.text);
  if (event.done) {
    ChatOutput::Parts rest = choice.output.Finish();
    said.thinking += rest.thinking;
    said.content += rest.content;
    for (auto& call : rest.calls) said.calls.push_back(std::move(call));
    const bool called = choice.output.called() && event.finish == Finish::kStop;
    choice.finish = called ? "tool_calls" : NameOf(event.finish);
  }
  if (!said.thinking.empty()) choice.thinking_tokens += fresh;
  std::vector<wire::ToolCallPart> calls;
  for (const templates::ToolCallDelta& c : said.calls) {
    calls.push_back({c.index, c.id, c.name, c.arguments});
  }
  if (!streams()) {
    choice.content += said.content;
    choice.thinking += said.thinking;
    for (wire::ToolCallPart& call : calls) {
      if (!call.id.empty()) {
        choice.calls.push_back(std::move(call));
      } else if (!choice.calls.empty()) {
        choice.calls.back().arguments += call.arguments;
      }
    }
    choice.logprobs.insert(choice.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
    return;
  }
  wire::ChatChoice delta{.index = event.choice,
                         .content = said.content,
                         .reasoning = said.thinking,
                         .tool_calls = calls};
  if (!event.logprobs.empty()) delta.logprobs = event.logprobs;
  const bool anything =
      !said.content.empty() || !said.thinking.empty() || !calls.empty() || !event.logprobs.empty();
  if (anything) out += wire::ChatEvent(head_, delta, include_usage_);
  if (!event.done) return;
  out += wire::ChatEvent(head_, {.index = event.choice, .finish_reason = choice.finish},
                         include_usage_);
}

wire::Usage ChatAnswer::Used() const {
  wire::Usage usage = usage_;
  for (const Choice& choice : choices_) {
    usage.completion_tokens += choice.tokens;
    usage.reasoning_tokens += choice.thinking_tokens;
  }
  return usage;
}

std::string ChatAnswer::Body() {
  std::vector<wire::ChatChoice> all;
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = choices_[i];
    all.push_back({.index = static_cast<int>(i),
                   .content = choice.content,
                   .reasoning = choice.thinking,
                   .tool_calls = choice.calls,
                   .finish_reason = choice.finish});
    if (wants_logprobs_) all.back().logprobs = choice.logprobs;
  }
  return wire::ChatBody(head_, all, Used());
}

void ChatAnswer::End(std::string& out) {
  if (include_usage_) out += wire::ChatUsageEvent(head_, Used());
  out += wire::kDoneEvent;
}

// ---- /v1/responses ---------------------------------------------------------------------------

ResponsesAnswer::ResponsesAnswer(io::HttpExchangePtr exchange, wire::ResponseAnswer answer,
                                 const wire::ChatRequest& request, const ChatOutputOptions& output,
                                 int64_t prompt_tokens)
    : HttpAnswer(std::move(exchange), request.stream, 1),
      answer_(std::move(answer)),
      output_(output),
      usage_{.prompt_tokens = prompt_tokens} {}

void ResponsesAnswer::On(size_t /*part*/, const Event& event, std::string& out) {
  const int64_t fresh = event.completion_tokens - usage_.completion_tokens;
  usage_.completion_tokens = event.completion_tokens;
  usage_.cached_tokens = event.cached_tokens;
  pending_.insert(pending_.end(), event.logprobs.begin(), event.logprobs.end());
  const auto say = [&](const ChatOutput::Parts& said) {
    if (!said.thinking.empty()) usage_.reasoning_tokens += fresh;
    out += answer_.Reasoning(said.thinking);
    if (!said.content.empty()) out += answer_.Text(said.content, std::exchange(pending_, {}));
    for (const templates::ToolCallDelta& c : said.calls) {
      out += answer_.ToolCall({c.index, c.id, c.name, c.arguments});
    }
  };
  say(output_.Push(event.text));
  if (!event.done) return;
  say(output_.Finish());
  out += answer_.Finish(event.finish == Finish::kLength, usage_);
}

void ResponsesAnswer::Fail(const wire::ApiError& error, std::string& out) {
  out += answer_.Finish(/*incomplete=*/false, usage_, &error);
}

// ---- /v1/embeddings --------------------------------------------------------------------------

EmbeddingAnswer::EmbeddingAnswer(io::HttpExchangePtr exchange, std::string model, bool base64,
                                 size_t inputs, int64_t prompt_tokens)
    : HttpAnswer(std::move(exchange), /*stream=*/false, inputs),
      model_(std::move(model)),
      base64_(base64),
      prompt_tokens_(prompt_tokens),
      vectors_(inputs) {}

void EmbeddingAnswer::On(size_t part, const Event& event, std::string& /*out*/) {
  if (!event.embedding.empty()) vectors_[part] = event.embedding;
}

std::string EmbeddingAnswer::Body() {
  return wire::EmbeddingBody(model_, vectors_, base64_, prompt_tokens_);
}

}  // namespace weir::serve
