// The few numbers that a spec sheet does not have: what share of a peak is reached, what a kernel
// launch or a hop costs. Each has a physical meaning, a prior from what is known of such machines,
// and a fitted value per (accelerator, engine, release) that shrinkage holds near its family's.
//
//     log value(knob, keys) = log base(knob) + sum over keys of offset(key, knob)
//
// A key is "engine:vllm", "accelerator:h200-sxm" or "release:vllm 0.19.0". An offset exists only
// where the table below gives its kind a spread; with no rows of a key its offset is 0, so an
// accelerator or release never seen gets the family's value.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace weir::blueprint {

enum Knob : int {
  // Training.
  kGemmBf16,       // share of the bf16 peak that large matrix products reach
  kGemmFp8,        // of the fp8 peak
  kGemmFp4,        // of the fp4 peak
  kScaling,        // time of micro-scaled products relative to plain ones
  kGemmHalf,       // a product whose narrow side is this wide reaches half of that share
  kMemory,         // share of the memory bandwidth that streaming kernels reach
  kElementBytes,   // memory traffic of norms, residuals, activations: bytes per token, width, layer
  kAttention,      // share of the bf16 peak in the attention core
  kSoftmaxBytes,   // traffic of an unfused softmax: bytes per score
  kHostLayer,      // host time to launch one layer's kernels, forward and backward, seconds
  kHostTensor,     // the same, added for each doubling of tp
  kHostBlend,      // exponent that blends host and device time: large is max(), 1 is the sum
  kHeadHost,       // host time of embedding, head and loss per micro-batch, seconds
  kLogitBytes,     // traffic of head and loss: bytes per logit
  kLink,           // share of the fast links that collectives reach
  kLinkLatency,    // of one collective in the fast domain, seconds
  kNic,            // share of the NIC that collectives reach
  kNicLatency,     // of one collective between nodes, seconds
  kTensorExposed,  // part of tensor-parallel traffic that is not hidden
  kTensorAcross,   // bandwidth of a tensor group across nodes, relative to its NICs together
  kDataExposed,    // part of the gradient exchange that is not hidden
  kPipeExposed,    // part of the traffic between stages that is not hidden
  kPipeLatency,    // of one hand-over between stages, seconds
  kStep,           // per step: clipping, logging, data, seconds
  kOptimizerBytes,   // traffic of the optimizer: bytes per parameter held
  kExpert,           // share of the product rate that grouped expert products reach
  kExpertHalf,       // an expert as wide as this reaches half of it
  kPermuteBytes,     // traffic of sorting tokens by expert: bytes per token, expert, width
  kHostExperts,      // host time added by an expert layer, seconds
  kDispatchExposed,  // part of the all-to-all that is not hidden
  kDispatchAcross,   // bandwidth of the all-to-all between nodes, relative to the NICs
  kScanBytes,        // traffic of a recurrent layer: bytes per token and inner width
  kShardExposed,     // part of the weight gathering of ZeRO-3 that is not hidden
  // Serving.
  kServeMemory,       // share of the memory bandwidth when weights are streamed
  kServeCache,        // the same when the key-value cache is read
  kServeGemm,         // share of the peak in decode products
  kServeExpert,       // the same in expert products
  kServeLayer,        // fixed time per layer of a decode step, seconds
  kServeExpertLayer,  // added by an expert layer, seconds
  kServeStep,         // fixed time per decode step, seconds
  kServeSequence,     // host time per sequence and step, seconds
  kServeReduce,       // latency of a tensor-parallel all-reduce, seconds
  kServeLink,         // share of the fast links
  kServeDispatch,     // latency of an expert all-to-all, seconds
  kServeMix,          // cost of prefill mixed into decode, relative to prefill alone
  kServePrefill,      // share of the peak in prefill products
  kServeAttention,    // share of the bf16 peak in the attention core
  kServeImbalance,    // load of the fullest expert group relative to the mean
  kServeHalf,         // tokens at which prefill products reach half of their share
  kServeFirst,        // fixed time to a first token: tokenizer, scheduler, network, seconds
  kServeBurst,        // share of the concurrency that arrives at once and waits its turn
  kServeQueue,        // wait for prefill relative to an M/M/1 queue
  kServeTurns,        // decode steps that a new request waits for its turn
  kServeTransfer,     // moving the cache from a prefill to a decode worker, seconds
  kServeCapacity,     // share of memory left by the weights that the cache may use
  // All-reduce in the fast domain.
  kReduceLatency,  // fixed, seconds
  kReduceHop,      // per member beyond the first, seconds
  kReduceLink,     // share of the link bandwidth for large messages
  kReduceRamp,     // bytes per member at which half of that share is reached
  kKnobCount
};

struct KnobInfo {
  Knob knob;
  std::string_view name;                // as in the calibration file
  std::string_view meaning;             // one line, with the unit
  double prior;                         // the value expected before any row is seen
  double spread;                        // log standard deviation of that expectation
  double engine, accelerator, release;  // log spread of offsets by kind of key; 0: none
};
const std::array<KnobInfo, kKnobCount>& KnobTable();
inline bool IsServeKnob(Knob k) { return k >= kServeMemory && k <= kServeCapacity; }
inline bool IsReduceKnob(Knob k) { return k >= kReduceLatency; }
inline bool IsTrainKnob(Knob k) { return k < kServeMemory; }

// One value per knob, natural units.
struct Coefficients {
  std::array<double, kKnobCount> value;
  double operator[](Knob k) const { return value[k]; }
};

// What rows and questions are keyed by. Empty: not known.
struct Keys {
  std::string engine, accelerator, release;
  std::vector<std::string> Names() const;  // "engine:...", ...
};

struct KnobTree {
  std::array<double, kKnobCount> log_base;
  std::map<std::string, std::map<int, double>> offsets;  // key -> knob -> log offset
  KnobTree();                                            // the priors
  Coefficients At(const Keys& keys) const;
};

}  // namespace weir::blueprint
