// The model of bench/serve: a Llama shape of 1.1 billion parameters (2048 wide, 22 layers, 32
// heads, 4 KV heads, feed-forward 5632, vocabulary 32000) with random weights, as a GGUF file that
// llama.cpp reads too.
//
// The matrices that go back into the residual stream (o and down) are nearly zero, so that the next
// token is a fixed function of the last one: greedy text falls into a cycle after some hundred
// tokens, which is what speculation is measured on. The work of a step is that of any such model.
// All layers share one stretch of random bytes for each kind of matrix while they are written.
#pragma once

#include <string>

#include "base/result.h"

namespace weir::bench {

// "bf16", "q8_0", "q4_0" or "q4_k_m" (Q4_K, with Q6_K for the head and half of the v and down
// matrices). The path of the file in `folder`, written if it is not there.
Result<std::string> BenchModel(const std::string& folder, const std::string& type);

}  // namespace weir::bench
