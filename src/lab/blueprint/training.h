// Time, traffic and memory of one training step, in closed form.
//
// A step is gradient_accumulation micro-batches through the pipeline, then the gradient exchange
// and the optimizer. The time of a layer is device time blended with the host time that launches
// it:
//
//     layer = (device^b + host^b)^(1/b)
//     step  = m * (stage + head + hand-over) + (pp - 1) / interleave * (stage + hand-over)
//             + exposed gradient exchange + optimizer + fixed
//
// with m micro-batches and stage = layer * layers / pp. Device time is the sum of matrix products
// (FLOPs over what of the peak a product of that shape reaches), attention, streaming kernels
// (bytes over bandwidth), expert products and their all-to-all, and tensor-parallel collectives.
// Sources: Narayanan et al. 2021 (pipelines), Korthikanti et al. 2022 (activation memory, checked
// by the Megatron tables to a tenth of a percent), Rajbhandari et al. 2020 (ZeRO), Patarasuk and
// Yuan 2009 (rings).
//
// Threads: a TrainingModel is read-only once made. It borrows shape and accelerator, which must
// outlive it. Cost: about a microsecond a layout.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include "lab/blueprint/hardware.h"
#include "lab/blueprint/knobs.h"
#include "lab/blueprint/layout.h"
#include "lab/blueprint/model_shape.h"

namespace weir::blueprint {

struct TrainWork {
  double sequence = 4096;
  double global_batch = 256;    // sequences per step
  bool fused_attention = true;  // false: scores are written to memory (before FlashAttention)
  bool adapters = false;        // LoRA: weights are frozen
};

enum class TimePart {
  kProducts,
  kAttention,
  kStreaming,
  kRecurrent,
  kExperts,
  kDispatch,
  kTensor,
  kHost,
  kHead,
  kBubble,
  kPipe,
  kGradients,
  kSharding,
  kOptimizer,
  kFixed,
  kCount
};
inline constexpr int kTimeParts = static_cast<int>(TimePart::kCount);
std::string_view NameOf(TimePart part);  // for people: "matrix products"

struct MemoryUse {  // bytes per accelerator, of the stage that needs most
  double weights = 0, gradients = 0, optimizer = 0, activations = 0, logits = 0, cache = 0,
         reserve = 0;
  double total() const {
    return weights + gradients + optimizer + activations + logits + cache + reserve;
  }
};

struct TrainPrediction {
  double step_s = 0;
  double tokens_per_s = 0;                 // of the whole cluster
  double model_flops_per_s = 0;            // per accelerator; no recomputed work in it
  double mfu = 0;                          // of the peak of the layout's precision
  std::array<double, kTimeParts> parts{};  // seconds of a step; they add up to step_s
  MemoryUse memory;
  TimePart Largest() const;
};

class TrainingModel {
 public:
  TrainingModel(const ModelShape& shape, const Accelerator& accelerator, double oversubscription,
                const TrainWork& work, const Coefficients& coefficients);

  TrainPrediction Predict(const Layout& layout) const;
  MemoryUse Memory(const Layout& layout) const;
  // What forbids the layout, empty if nothing does: divisibility, precision, sizes. Not memory.
  std::string Forbids(const Layout& layout) const;

  const ModelShape& shape() const { return shape_; }
  const Accelerator& accelerator() const { return accelerator_; }
  const ParameterCounts& counts() const { return counts_; }
  const TrainWork& work() const { return work_; }
  // Bytes that a layout may use: capacity less what driver, collectives and fragmentation take.
  double UsableBytes() const { return accelerator_.memory_bytes * 0.94; }

 private:
  struct Product {
    double n, k;    // of the weight; the other side is the tokens
    double layers;  // how many such
    bool cut_n;     // tensor parallelism cuts n; otherwise k
  };
  double RingSeconds(double members, double per_domain, double bytes, double passes) const;

  const ModelShape& shape_;
  const Accelerator& accelerator_;
  double oversubscription_;
  TrainWork work_;
  Coefficients c_;
  ParameterCounts counts_;
  double flops_per_token_;  // forward
  std::array<Product, 10> products_{};
  int product_count_ = 0;
  double attention_width_;
};

}  // namespace weir::blueprint
