// The two engines that bench/serve compares, under one interface: a list of requests in, when each
// of their tokens came out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/serve/engine.h"

namespace weir::bench {

struct BenchRequest {
  double at_ms = 0;  // since the run began
  std::vector<int32_t> prompt;
  int max_tokens = 1;
};
struct Timing {
  std::vector<double> token_ms;  // since the run began
  int tokens() const { return static_cast<int>(token_ms.size()); }
  double first_ms() const { return token_ms.empty() ? 0 : token_ms.front(); }
  double last_ms() const { return token_ms.empty() ? 0 : token_ms.back(); }
};

class Runner {
 public:
  virtual ~Runner() = default;
  // All are sent at their time, whether or not earlier ones were answered.
  virtual Result<std::vector<Timing>> Run(const std::vector<BenchRequest>& requests) = 0;
};

// `ask` is what every request is made from: adapter, logprobs. The engine outlives the runner.
std::unique_ptr<Runner> OurRunner(serve::Engine& engine, serve::GenerateRequest ask = {});

// bench/llama_cpp/peer.mjs with the same file. kUnavailable where it is not installed.
struct PeerOptions {
  std::string folder;  // bench/llama_cpp
  std::string model;
  int threads = 1, sequences = 1, context = 1024;
};
Result<std::unique_ptr<Runner>> PeerRunner(const PeerOptions& options);

}  // namespace weir::bench
