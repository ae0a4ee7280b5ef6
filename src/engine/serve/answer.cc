#include "engine/serve/answer.h"

#include <algorithm>

#include "base/check.h"

namespace weir::serve {
namespace {

SamplingOptions OfChoice(SamplingOptions options, int choice) {
  options.seed = SeedOfChoice(options.seed, choice);
  return options;
}

}  // namespace

Answer::Answer(const GenerateRequest& request, int choice, const model::Tokenizer& tokenizer)
    : request_(request),
      tokenizer_(tokenizer),
      sampler_(OfChoice(request.sampling, choice), request.prompt),
      text_(tokenizer, request.stop, request.show_tokens) {
  if (request.constraint == nullptr) return;
  follower_ = request.constraint->Follow();
  allowed_.resize((static_cast<size_t>(tokenizer.vocab_size()) + 63) / 64);
}

bool Answer::Ends(int32_t token) const {
  const std::vector<int32_t>& own = request_.stop_tokens;
  if (std::find(own.begin(), own.end(), token) != own.end()) return true;
  const std::vector<int32_t>& stops = tokenizer_.stop_tokens();
  // Of an answer that is held to a form they are its end, whatever else is ignored.
  const bool count = !request_.ignore_eos || follower_ != nullptr;
  return count && std::find(stops.begin(), stops.end(), token) != stops.end();
}

wire::TokenLogprob Answer::Judge(std::span<const float> logits, int32_t token) const {
  const auto bytes = [&](int32_t id) { return std::string(tokenizer_.BytesOf(id)); };
  const Logprobs found = LogprobsOf(logits, token, request_.logprobs.value_or(0));
  wire::TokenLogprob out{bytes(token), found.chosen, {}};
  for (const auto& [id, logprob] : found.top) out.top.emplace_back(bytes(id), logprob);
  return out;
}

int32_t Answer::Next(std::span<const float> all, Event& event) {
  CHECK(!done_);
  thread_local Sampler::Scratch scratch;
  // An embedding table may be taller than the vocabulary; its last rows stand for nothing.
  const auto logits = all.first(static_cast<size_t>(tokenizer_.vocab_size()));
  if (follower_ != nullptr) follower_->Allowed(allowed_);
  const int32_t token = sampler_.Sample(logits, allowed_, scratch);
  ++tokens_;
  event.completion_tokens = tokens_;
  if (token < 0) {
    // Nothing may follow, or every logit is NaN: there is no token to choose.
    Cut(follower_ != nullptr ? Finish::kStop : Finish::kFailed, event);
    --tokens_;
    event.completion_tokens = tokens_;
    return token;
  }
  sampler_.Accept(token);
  event.tokens.push_back(token);
  const bool ends = Ends(token);
  if (!ends) {
    if (follower_ != nullptr) follower_->Accept(token);
    event.text += text_.Push(token);
    if (request_.logprobs) event.logprobs.push_back(Judge(logits, token));
  }
  if (ends || text_.stopped()) {
    Cut(Finish::kStop, event);
  } else if (tokens_ >= request_.max_tokens) {
    Cut(Finish::kLength, event);
  }
  return token;
}

void Answer::Cut(Finish finish, Event& event) {
  event.done = done_ = true;
  event.finish = finish;
  event.completion_tokens = tokens_;
  event.text += text_.Finish();
}

}  // namespace weir::serve
