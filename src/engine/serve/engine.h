// The serving engine: one thread that runs the model, step after step, for all sequences at once.
//
//   submitted -> waiting -> running (prompt in chunks, then a token a step) -> finished
//                   \__________\__ cancelled: gone within one step, its KV blocks free again
//
// Everything is bounded: the waiting queue (beyond it Submit refuses with when to come back), the
// batch, the KV pool, each answer (max_tokens, context). What a step holds is planned in batch.h.
//
// Greedy answers do not depend on who else is served; sampled ones depend on their seed alone.
// Threads: every public method from any thread. OnEvent runs on the engine's thread and must be
// quick; it is not called again after the event with done = true, nor, once the engine's thread
// has seen it, after Cancel.
// Errors: Submit refuses (kResourceExhausted full, kUnavailable draining, kInvalidArgument). Out of
// memory or a bug in a step ends the running sequences as kFailed; the engine goes on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "engine/model/weights.h"
#include "engine/serve/sampler.h"
#include "io/clock.h"
#include "wire/openai.h"
#include "wire/traffic.h"

namespace weir::serve {

struct EngineOptions {
  int max_batch = 8;       // sequences in one step
  int64_t context = 0;     // tokens of prompt and answer; 0: the model's
  int64_t kv_bytes = 0;    // 0: max_batch x context, at most kDefaultKvBytes
  int threads = 1;         // of the kernels, the engine's own included
  std::vector<int> cores;  // that these threads are bound to; empty: any
  int max_queue = 128;     // requests waiting for a place in the batch
  int prefill_chunk = 64;  // see batch.h
  int step_tokens = 128;
};
inline constexpr int64_t kDefaultKvBytes = int64_t{2} << 30;

struct GenerateRequest {
  std::vector<int32_t> prompt;  // not empty; ids of the model
  int max_tokens = 16;          // prompt + max_tokens <= context()
  SamplingOptions sampling;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  std::optional<int> logprobs;  // alternatives per token
};

enum class Finish : uint8_t { kStop, kLength, kFailed };

struct Event {
  std::string text;                          // to be sent now; may be empty
  std::vector<wire::TokenLogprob> logprobs;  // of this event's token, where asked for
  int64_t completion_tokens = 0;             // so far
  bool done = false;
  Finish finish = Finish::kStop;  // valid when done
};
using OnEvent = std::function<void(const Event&)>;

struct EngineStats {
  int64_t queued = 0, running = 0;  // gauges
  int64_t kv_blocks = 0, kv_blocks_used = 0;
  int max_batch = 0;
  uint64_t submitted = 0, refused = 0, finished = 0, cancelled = 0, failed = 0;
  uint64_t prompt_tokens = 0, generated_tokens = 0, steps = 0;
  wire::DurationHistogram ttft;        // Submit to the first token
  wire::DurationHistogram tpot;        // from one token of a sequence to its next
  wire::DurationHistogram queue_wait;  // Submit to the first step
};

class Engine {
 public:
  // Starts the thread. The clock outlives the engine.
  static Result<std::unique_ptr<Engine>> Create(std::shared_ptr<const model::Model> model,
                                                const EngineOptions& options,
                                                const io::Clock& clock);
  ~Engine();  // what still runs ends as kFailed

  // The id, for Cancel.
  Result<uint64_t> Submit(GenerateRequest request, OnEvent on_event);
  void Cancel(uint64_t id);  // unknown or finished: nothing happens

  // Refuses new requests from now on; true when everything accepted was finished within `grace`,
  // otherwise what is left ends as kFailed.
  void StopAdmitting();
  bool Drain(Duration grace);

  EngineStats stats() const;
  int64_t context() const;
  const model::Model& model() const;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::serve
