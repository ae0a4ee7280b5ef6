// Which work goes into the next step of the engine: iteration-level scheduling with chunked
// prefill. Source: Yu et al., "Orca: A Distributed Serving System for Transformer-Based Generative
// Models", 2022, section 3 (joining and leaving at every step); Agrawal et al., "Sarathi-Serve",
// 2024 (prompts in chunks beside decodes, so that a long prompt does not hold up those who are
// being answered).
//
// Pure: what is running and waiting goes in, a plan comes out; the engine carries it out.
//   1. Waiting sequences are admitted in order of arrival while a place in the batch and all the KV
//      blocks that they may need are free. The first that does not fit holds back those behind it,
//      so that nobody starves.
//   2. Every running sequence whose prompt is done decodes one token.
//   3. What is left of the step's token budget goes to prompts, in order of admission, in chunks
//      that begin at multiples of `prefill_chunk`; at least one chunk moves in every step. Chunk
//      borders depend on the prompt alone, so that batching never changes a sequence's arithmetic.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace weir::serve {

struct BatchLimits {
  int max_sequences = 8;
  int prefill_chunk = 64;  // tokens
  int step_tokens = 128;   // decodes and prompt chunks of one step together
};

struct RunningSequence {
  int64_t prompt_tokens = 0;
  int64_t computed_tokens = 0;  // of prompt and answer, in the KV cache
};

struct WaitingSequence {
  int64_t blocks = 0;  // KV blocks that it may ever need
  int64_t prompt_tokens = 0;
};

struct StepPlan {
  struct Work {
    size_t sequence;  // index into running, followed by the admitted ones
    int64_t tokens;   // 1 for a decode
  };
  size_t admitted = 0;  // the first this many of waiting
  std::vector<Work> work;
};

StepPlan PlanStep(const BatchLimits& limits, std::span<const RunningSequence> running,
                  std::span<const WaitingSequence> waiting, int64_t free_blocks);

}  // namespace weir::serve
