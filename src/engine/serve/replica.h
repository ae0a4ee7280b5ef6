// A model behind HTTP: what `weir serve` runs, alone or as a replica of a lab's service.
//
//   GET  /v1/models, /v1/models/{model}
//   POST /v1/completions, /v1/chat/completions     OpenAI's shapes (wire/openai.h), whole or
//   streamed GET  /healthz       200 while requests are admitted, 503 while draining GET  /metrics
//   see metrics.h
//
// max_tokens defaults to 16 for completions, as OpenAI's, and to the rest of the context for chat.
// A prompt that leaves no room is 400 context_length_exceeded. A full queue is 429 with
// Retry-After, a draining replica 503. A client that goes away frees its sequence within one step.
// Threads: construct, Start, Drain and destroy from one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "engine/model/weights.h"
#include "engine/serve/engine.h"
#include "io/clock.h"

namespace weir::serve {

struct ReplicaOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;                   // 0: any free one
  std::string name;                    // empty: the model's own
  std::optional<std::string> api_key;  // asked for on /v1 when set
  uint64_t seed = 0;                   // of ids, and of requests that bring none
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

 private:
  struct Impl;
  explicit Replica(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::serve
