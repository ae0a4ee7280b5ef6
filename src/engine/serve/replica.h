// A model behind HTTP: what `weir serve` runs, alone or as a replica of a lab's service.
//
//   POST /v1/completions, /v1/chat/completions, /v1/responses    OpenAI's shapes (wire/openai_*.h),
//                                                                whole or streamed
//   POST /v1/embeddings, /tokenize, /detokenize
//   GET  /v1/models, /v1/models/{model}       the model and its adapters
//   GET  /healthz    200 while the process lives, 503 once it drains   GET /readyz   the same
//   GET  /metrics    see metrics.h
//
// docs/serving.md lists every field. max_tokens defaults to 16 for completions, as OpenAI's, and to
// the rest of the context for chat. A full queue is 429 with Retry-After, a draining replica 503. A
// client that goes away frees its sequences within one step.
//
// Who asks is told by the gateway in Weir-Key and Weir-Tier, for the engine's fair share; without
// them, the client's address is the key. Weir-Deadline-Ms: milliseconds that the answer is worth
// waiting for; what is not whole by then ends as 504.
// Threads: construct, Start, Drain and destroy from one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "engine/model/weights.h"
#include "engine/serve/engine.h"
#include "io/clock.h"

namespace weir::serve {

struct ReplicaOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;                  // 0: any free one
  std::string name;                   // empty: the model's own
  std::vector<std::string> aliases;   // other names that a request may give
  std::vector<std::string> api_keys;  // one of them is asked for on /v1 unless there are none
  std::string chat_template;          // empty: a line for each message
  bool split_thinking = true;         // <think> ... </think> becomes reasoning_content
  Pooling pooling = Pooling::kLast;   // of /v1/embeddings; kNone: refused
  // Requests that leave sampling fields out get those of the model's generation_config.json.
  bool model_sampling = true;
  uint64_t seed = 0;  // of ids, and of requests that bring none
  EngineOptions engine;
};

class Replica {
 public:
  // The clock outlives the replica.
  static Result<std::unique_ptr<Replica>> Create(std::shared_ptr<const model::Model> model,
                                                 const ReplicaOptions& options,
                                                 const io::Clock& clock);
  ~Replica();

  Result<uint16_t> Start();  // the port
  // Stops admitting, finishes what was accepted within `grace`, then stops listening. False when
  // something had to be cut.
  bool Drain(Duration grace);
  Engine& engine();
  const std::string& name() const;

  struct Impl;

 private:
  explicit Replica(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::serve
