// One answer as it grows: from a row of logits to its next token, and to the event that tells of
// it. Threads   one at a time; different answers in parallel.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/model/tokenizer.h"
#include "engine/serve/engine.h"
#include "engine/serve/output_text.h"

namespace weir::serve {

class Answer {
 public:
  // The request and the tokenizer outlive the answer.
  Answer(const GenerateRequest& request, int choice, const model::Tokenizer& tokenizer);

  // The next token by these logits; what it means is added to the event: its text, its logprob, and
  // when it is the last one, done and finish.
  int32_t Next(std::span<const float> logits, Event& event);
  // Ends it before its time: what text was held back still comes.
  void Cut(Finish finish, Event& event);

  // The logprob of a prompt's token by the logits before it.
  wire::TokenLogprob Judge(std::span<const float> logits, int32_t token) const;

  int64_t tokens() const { return tokens_; }
  bool done() const { return done_; }
  const Sampler& sampler() const { return sampler_; }

 private:
  bool Ends(int32_t token) const;

  const GenerateRequest& request_;
  const model::Tokenizer& tokenizer_;
  Sampler sampler_;
  OutputText text_;
  std::unique_ptr<Constraint::Follower> follower_;  // null: any text
  std::vector<uint64_t> allowed_;
  int64_t tokens_ = 0;
  bool done_ = false;
};

}  // namespace weir::serve
