// The serving engine: one thread that runs the model, step after step, for all sequences at once.
//
//   submitted -> waiting -> running (prompt in chunks, then tokens) -> finished
//                   \   ^______/ preempted: its KV blocks were needed; computed again later,
//                    \                      unseen by whoever listens
//                     \_________\__ cancelled, past its deadline: gone within one step
//
// What a step holds is decided by a pure function (batch.h); keys and values lie in paged, shared
// blocks (kv_cache.h, prefix_tree.h); drafts are checked several tokens at a time (speculate.h).
// Everything is bounded: the waiting queue (beyond it Submit refuses with when to come back), the
// batch, the KV pool, each answer (max_tokens, context).
//
// Same prompt, options and seed: same tokens, whoever else is served, however the prompt was cut,
// cached or computed again after a preemption, and whether drafts were right or wrong.
// Threads: every public method from any thread. OnEvent runs on the engine's thread and must be
// quick; it is not called again after the event with last = true, nor, once the engine's thread
// has seen it, after Cancel.
// Errors: Submit refuses (kResourceExhausted full, kUnavailable draining, kInvalidArgument,
// kNotFound for an adapter, kDeadlineExceeded). Out of memory or a bug in a step ends the running
// sequences as kFailed; the engine goes on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "engine/model/weights.h"
#include "engine/serve/constraint.h"
#include "engine/serve/kv_cache.h"
#include "engine/serve/sampler.h"
#include "io/clock.h"
#include "wire/openai.h"
#include "wire/traffic.h"

namespace weir::serve {

struct AdapterSource {
  std::string name;  // what a request's `adapter` says
  std::string path;  // a folder: adapter_config.json and adapter_model.safetensors
};

struct EngineOptions {
  int max_batch = 32;    // sequences in one step
  int64_t context = 0;   // tokens of prompt and answer; 0: the model's
  int64_t kv_bytes = 0;  // 0: max_batch x context, at most kDefaultKvBytes
  KvType kv_type = KvType::kF16;
  int threads = 1;         // of the kernels, the engine's own included
  std::vector<int> cores;  // that these threads are bound to; empty: any
  int max_queue = 128;     // requests waiting for a place in the batch
  int step_tokens = 512;   // most rows of one step; scratch is made for so many
  // While somebody is being answered, prompts get only what leaves a step within this.
  Duration tpot_target = Duration::Millis(120);
  bool prefix_cache = true;
  // Rows of a step up to which drafts are checked: beyond it a row is no longer nearly free.
  // 0: never speculate.
  int speculative_rows = 16;
  std::shared_ptr<const model::Model> draft;  // same vocabulary; null: prompt lookup alone
  std::vector<AdapterSource> adapters;
};
inline constexpr int64_t kDefaultKvBytes = int64_t{2} << 30;
inline constexpr int kMaxChoices = 128;  // GenerateRequest::n
inline constexpr int kTiers = 3;         // 1 is the most important

enum class Pooling : uint8_t { kNone, kMean, kLast };

struct GenerateRequest {
  std::vector<int32_t> prompt;  // not empty; ids of the model
  int max_tokens = 16;          // prompt + max_tokens <= context(); 0: the prompt alone
  int n = 1;                    // answers, 1..kMaxChoices; answer i draws by SeedOfChoice(seed, i)
  SamplingOptions sampling;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_tokens;  // beside the model's own; they end an answer unseen
  bool ignore_eos = false;
  std::vector<int32_t> show_tokens;  // control tokens that are text here; the others leave none
  std::optional<int> logprobs;       // alternatives per token
  bool prompt_logprobs = false;      // also of the prompt's tokens; needs `logprobs`
  std::shared_ptr<const Constraint> constraint;  // null: any text
  std::string adapter;                           // empty: the base model
  // Fair share is between keys, weighted by tier; a lower tier is preempted first.
  std::string key;
  int tier = 1;                      // 1..kTiers
  std::optional<Duration> deadline;  // from Submit; what is not done by then ends as kDeadline
  // Not kNone: no answer, but the prompt's pooled hidden state, of length 1. max_tokens is 0.
  Pooling embed = Pooling::kNone;
};

enum class Finish : uint8_t { kStop, kLength, kFailed, kDeadline };

struct Event {
  int choice = 0;               // which of the n answers
  std::string text;             // to be sent now; may be empty
  std::vector<int32_t> tokens;  // of this event, the one that ended the answer included
  // Where asked for: one for each token of this event, the token that ended the answer left out.
  std::vector<wire::TokenLogprob> logprobs;
  // Of prompt tokens 1.. (the first has none), in order, before anything else of the request.
  std::vector<wire::TokenLogprob> prompt_logprobs;
  std::vector<float> embedding;   // [dim], with the only event of an embedding request
  int64_t completion_tokens = 0;  // of this answer, so far
  int64_t cached_tokens = 0;      // of the prompt, that were not computed again
  bool done = false;              // of this answer
  bool last = false;              // of the request: nothing follows
  Finish finish = Finish::kStop;  // valid when done
};
using OnEvent = std::function<void(const Event&)>;

struct EngineStats {
  int64_t queued = 0, running = 0;  // gauges
  int64_t kv_blocks = 0, kv_blocks_used = 0,
          kv_blocks_cached = 0;  // cached: by the prefix tree alone
  int64_t kv_bytes_per_token = 0;
  int max_batch = 0;
  uint64_t submitted = 0, refused = 0, finished = 0, cancelled = 0, failed = 0, late = 0;
  uint64_t prompt_tokens = 0;      // computed
  uint64_t prefix_hit_tokens = 0;  // found in the cache instead
  uint64_t generated_tokens = 0, steps = 0;
  uint64_t preemptions = 0, recomputed_tokens = 0;
  uint64_t drafted_tokens = 0, accepted_tokens = 0;  // of speculation
  wire::DurationHistogram ttft;                      // Submit to the first token
  wire::DurationHistogram tpot;                      // from one token of a sequence to its next
  wire::DurationHistogram queue_wait;                // Submit to the first step
  wire::DurationHistogram step;                      // of a step, from plan to last event
  wire::DurationHistogram overhead;                  // of it, all but the model's arithmetic
  static constexpr int kBatchBuckets = 12;
  uint64_t batch_steps[kBatchBuckets] = {};  // steps with at most 2^i sequences (the last: more)
  uint64_t batch_sequences = 0;              // summed over steps
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
  void Cancel(uint64_t id);  // all n answers; unknown or finished: nothing happens

  // Refuses new requests from now on; true when everything accepted was finished within `grace`,
  // otherwise what is left ends as kFailed.
  void StopAdmitting();
  bool Drain(Duration grace);

  EngineStats stats() const;
  int64_t context() const;
  const model::Model& model() const;
  std::vector<std::string> adapters() const;  // their names

  struct Impl;

 private:
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::serve
