// Time to first token and time per output token of a served model, in closed form.
//
// A decode step streams the weights that its batch touches and the cache of its sequences,
// multiplies, reduces over the tensor group, exchanges experts' tokens, and pays a fixed time per
// layer, per step and per sequence. Where one worker does both phases, each step also carries
// input/output prefill tokens per sequence (that is what steady state means), at kServeMix times
// their cost alone.
//
//     TPOT = decode(batch) + mix * batch * prefill(1) / output
//     TTFT = fixed + prefill(1) + burst * concurrency * prefill(1) + wait(load) + turns * TPOT
//            + what waits for cache room when the concurrency exceeds it (Little's law)
//
// Where prefill and decode run on different workers, TPOT is decode alone and the cache's transfer
// adds to TTFT.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "lab/blueprint/hardware.h"
#include "lab/blueprint/knobs.h"
#include "lab/blueprint/model_shape.h"
#include "lab/blueprint/training.h"

namespace weir::blueprint {

struct ServeWork {
  double input = 1024, output = 1024;  // tokens
  double concurrency = 16;             // requests in flight, all workers together
};

// One group of accelerators that holds one copy of the weights.
struct ServeGroup {
  int tp = 1;            // tensor parallel of the attention part
  int attention_dp = 1;  // copies of the attention part, each with sequences of its own
  int ep = 1;            // expert parallel; the rest of the group cuts each expert
  int accelerators() const { return tp * attention_dp; }
};

struct ServeLayout {
  ServeGroup decode;   // does prefill too unless disaggregated
  double workers = 1;  // groups that decode
  bool disaggregated = false;
  ServeGroup prefill;  // of the disaggregated form
  double prefill_workers = 1;
  Precision precision = Precision::kBf16;
  double accelerators() const {
    return workers * decode.accelerators() +
           (disaggregated ? prefill_workers * prefill.accelerators() : 0);
  }
};
std::string Describe(const ServeLayout& l);

enum class ServePart {
  kWeights,
  kCache,
  kProducts,
  kExperts,
  kAttention,
  kLayers,
  kReduce,
  kDispatch,
  kHost,
  kPrefill,
  kCount
};
inline constexpr int kServeParts = static_cast<int>(ServePart::kCount);
std::string_view NameOf(ServePart part);

struct ServePrediction {
  double ttft_s = 0, tpot_s = 0;
  double output_tokens_per_s = 0;  // all workers
  double fits = 0;                 // sequences whose cache fits, all workers; below 1: nothing does
  double queued_s = 0;             // part of TTFT spent waiting for cache room
  std::array<double, kServeParts> parts{};  // seconds of one token; they add up to tpot_s
  MemoryUse memory;
  ServePart Largest() const;
};

class ServingModel {
 public:
  // Borrows shape and accelerator.
  ServingModel(const ModelShape& shape, const Accelerator& accelerator, const Coefficients& c);
  ServePrediction Predict(const ServeLayout& layout, const ServeWork& work) const;
  // What forbids the layout, empty if nothing does.
  std::string Forbids(const ServeLayout& layout) const;

 private:
  struct Bytes {  // per element
    double attention, dense, expert, cache, activation;
  };
  Bytes BytesOf(Precision p) const;
  double Rate(Precision p) const;
  double WeightBytes(const ServeGroup& g, const Bytes& b) const;  // per accelerator
  double PrefillSeconds(const ServeGroup& g, Precision p, double tokens) const;

  const ModelShape& shape_;
  const Accelerator& accelerator_;
  Coefficients c_;
  ParameterCounts counts_;
  double attention_width_;  // multiply-adds per query, key and layer in decode
  double prefill_width_;
};

}  // namespace weir::blueprint
