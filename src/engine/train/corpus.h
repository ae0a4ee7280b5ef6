// From text to batches: the tokenizer, the tokens, what is held out, and which tokens a step sees.
//
// Held out: blocks of the token stream, evenly spread, so that every part of the text is in both.
// Order: windows of seq + 1 tokens, each once in an epoch, shuffled anew for each epoch by the
// seed. Window number i of the whole training is a function of (seed, i): it depends neither on the
// number of workers nor on pauses, and a checkpoint needs no more than the count of windows seen.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/kernels/thread_pool.h"
#include "engine/model/tokenizer.h"

namespace weir::train {

// The text to train on: at most max_bytes of the file, in pieces spread over all of it, each cut
// at a line's end. Refuses a file with no text in it (empty, blank, or binary).
Result<std::string> ReadText(const std::string& path, int64_t max_bytes);

// A byte-level BPE of at most vocab_size tokens from a sample of the text (a second or two).
Result<model::Tokenizer> TrainTokenizer(std::string_view text, int vocab_size);

std::vector<int32_t> Encode(const model::Tokenizer& tokenizer, std::string_view text,
                            kernels::ThreadPool* pool);

// Tokens on disk, so that other ranks and later attempts need not make them again. `key` names what
// they were made from; another key reads as kNotFound.
Status WriteTokens(const std::string& path, std::string_view key, std::span<const int32_t> tokens);
Result<std::vector<int32_t>> ReadTokens(const std::string& path, std::string_view key);

class Corpus {
 public:
  // Holds out about `fraction` of the tokens. kInvalidArgument where the text is too short for one
  // window of either kind.
  static Result<Corpus> Create(std::vector<int32_t> tokens, int64_t seq, double fraction,
                               uint64_t seed);

  int64_t seq() const { return seq_; }
  int64_t train_tokens() const { return static_cast<int64_t>(train_.size()); }
  int64_t held_out_tokens() const { return static_cast<int64_t>(held_out_.size()); }
  // The seq + 1 tokens of training window i >= 0.
  std::span<const int32_t> Window(int64_t i);
  // Held-out windows, and one of them.
  int64_t held_out_windows() const;
  std::span<const int32_t> HeldOut(int64_t i) const;

 private:
  Corpus() = default;
  int64_t seq_ = 0;
  uint64_t seed_ = 0;
  std::vector<int32_t> train_, held_out_;
  int64_t epoch_ = -1, shift_ = 0;  // of order_
  std::vector<int32_t> order_;
};

}  // namespace weir::train
