// Drafts: tokens guessed ahead, so that one pass over the weights may yield several.
//
// Whatever the draft is, the answer is the one that would have come without it: the target samples
// its own token at each position (sampler.h: a function of logits, seed and position), a draft is
// right where it equals that token, and everything from the first wrong one on is thrown away.
// That is exact for any draft, not only in distribution but token for token, so an answer does not
// depend on whether drafts were made (they are not when the batch is large). What it gives up
// against rejection sampling with max(0, p - q) (Leviathan et al., "Fast Inference from
// Transformers via Speculative Decoding", 2023) is a part of the acceptance at high temperatures:
// the draft model draws with the same random numbers, which agrees with probability at least (1 -
// d) / (1 + d) at total variation d, against 1 - d (Daliri et al., 2024).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/kernels/thread_pool.h"
#include "engine/model/weights.h"
#include "engine/serve/sampler.h"

namespace weir::serve {

// Prompt lookup: the text so far ends in words that stood in it before; what followed there is the
// draft. Of earlier places with the same last kGram tokens it takes the one whose past agrees
// furthest, the latest of equals.
// Source: Saxena, "Prompt Lookup Decoding", 2023.
// Cost: Append O(1); Propose O(kTried * kFurthest). Memory: 4 bytes a token and a table of 8.
class PromptLookup {
 public:
  static constexpr size_t kGram = 3;
  // All tokens of the sequence that are not in yet; tokens only ever grow.
  void Extend(std::span<const int32_t> tokens);
  // Up to `most` tokens that may follow `tokens`, all of which are in.
  void Propose(std::span<const int32_t> tokens, size_t most, std::vector<int32_t>& draft) const;

 private:
  static constexpr int kTried = 8;
  static constexpr size_t kFurthest = 32;
  size_t SlotOf(std::span<const int32_t> tokens, size_t end) const;
  void Grow(std::span<const int32_t> tokens);

  size_t extended_ = 0;
  std::vector<int32_t> table_;  // last end of each gram, -1: none; a power of two, open addressing
  std::vector<int32_t> previous_;  // end of the same gram before, for each position
  size_t grams_ = 0;
};

// How long a sequence's next draft may be: twice as long after a draft that was all right, as long
// as what was right after another, and after kMisses that were all wrong only now and then.
class DraftLength {
 public:
  explicit DraftLength(int longest) : longest_(longest), next_(longest < 4 ? longest : 4) {}
  int Next();
  void Observe(int drafted, int accepted);

 private:
  static constexpr int kMisses = 3;
  static constexpr int kPause = 16;  // steps without a draft
  int longest_;
  int next_;
  int misses_ = 0;
  int pause_ = 0;
};

// A small model that runs ahead of a large one with the same vocabulary. It keeps keys and values
// of its own; a sequence for which there is no room gets no draft.
class DraftModel {
 public:
  struct Options {
    int64_t context = 0;
    int max_sequences = 0;
    int longest = 0;  // tokens of a draft
  };
  static Result<std::unique_ptr<DraftModel>> Create(std::shared_ptr<const model::Model> draft,
                                                    const model::Model& target,
                                                    const Options& options);
  ~DraftModel();
  // Before the first Propose, on the thread that will call it.
  void Start(kernels::ThreadPool* pool, int max_rows);

  struct Request {
    uint64_t id = 0;                  // of the sequence
    std::span<const int32_t> tokens;  // so far
    const Sampler* sampler = nullptr;
    size_t most = 0;
    std::vector<int32_t>* draft = nullptr;  // filled
  };
  void Propose(std::span<const Request> requests);
  void Forget(uint64_t id);

 private:
  struct Impl;
  explicit DraftModel(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::serve
