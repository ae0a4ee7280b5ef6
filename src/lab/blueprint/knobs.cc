#include "lab/blueprint/knobs.h"

#include <cmath>

namespace weir::blueprint {

// Priors: shares of peaks from published measurements of well-tuned kernels, latencies from NCCL
// tests, traffic by counting the passes of the usual kernels. They are where a knob stays when the
// rows do not speak of it.
const std::array<KnobInfo, kKnobCount>& KnobTable() {
  static const std::array<KnobInfo, kKnobCount> table = {{
      {kGemmBf16, "gemm_bf16", "share of the bf16 peak reached by large products", 0.75, 0.15, 0.10,
       0.08, 0.02},
      {kGemmFp8, "gemm_fp8", "share of the fp8 peak reached by large products", 0.62, 0.15, 0, 0.08,
       0.02},
      {kGemmFp4, "gemm_fp4", "share of the fp4 peak reached by large products", 0.42, 0.25, 0, 0.15,
       0.03},
      {kScaling, "scaling", "time of micro-scaled products relative to plain ones", 1.08, 0.05, 0,
       0, 0},
      {kGemmHalf, "gemm_half_width", "narrow side at which a product reaches half of its share",
       200, 0.5, 0.3, 0, 0},
      {kMemory, "memory", "share of the memory bandwidth reached by streaming kernels", 0.82, 0.08,
       0.05, 0, 0},
      {kElementBytes, "element_bytes",
       "traffic of norms, residuals and activations, bytes per token, width and layer", 60, 0.5,
       0.4, 0, 0.02},
      {kAttention, "attention", "share of the bf16 peak reached by the attention core", 0.65, 0.25,
       0.2, 0.1, 0},
      {kSoftmaxBytes, "softmax_bytes", "traffic of an unfused softmax, bytes per score", 12, 0.5, 0,
       0, 0},
      {kHostLayer, "host_layer_s", "host time to launch one layer, forward and backward", 0.7e-3,
       1.0, 1.5, 0, 0.1},
      {kHostTensor, "host_tensor_s", "host time added per layer by each doubling of tp", 0.1e-3,
       1.0, 0.8, 0, 0},
      {kHostBlend, "host_blend", "exponent blending host and device time; large is max()", 3, 0.3,
       0.3, 0, 0},
      {kHeadHost, "head_host_s", "host time of embedding, head and loss per micro-batch", 1.5e-3,
       0.7, 0.5, 0, 0},
      {kLogitBytes, "logit_bytes", "traffic of head and loss, bytes per logit", 30, 0.8, 0.6, 0, 0},
      {kLink, "link", "share of the fast links reached by collectives in a step", 0.77, 0.06, 0.05,
       0, 0},
      {kLinkLatency, "link_latency_s", "one collective in the fast domain", 25e-6, 0.3, 0.2, 0, 0},
      {kNic, "nic", "share of the NICs reached by collectives in a step", 0.82, 0.1, 0.05, 0, 0},
      {kNicLatency, "nic_latency_s", "one collective between nodes", 40e-6, 0.5, 0.2, 0, 0},
      {kTensorExposed, "tensor_exposed", "part of tensor-parallel traffic that is not hidden", 0.8,
       0.3, 0.3, 0, 0},
      {kTensorAcross, "tensor_across",
       "bandwidth of a tensor group across nodes, relative to its NICs", 0.6, 0.5, 0, 0, 0},
      {kDataExposed, "data_exposed", "part of the gradient exchange that is not hidden", 0.4, 0.5,
       0.4, 0, 0},
      {kPipeExposed, "pipe_exposed", "part of the traffic between stages that is not hidden", 0.3,
       0.8, 0.4, 0, 0},
      {kPipeLatency, "pipe_latency_s", "one hand-over between stages", 20e-6, 0.7, 0.3, 0, 0},
      {kStep, "step_s", "per step: clipping, logging, data", 2e-3, 0.8, 0.4, 0, 0},
      {kOptimizerBytes, "optimizer_bytes", "traffic of the optimizer, bytes per parameter held", 40,
       0.3, 0.2, 0, 0},
      {kExpert, "expert", "share of the product rate reached by grouped expert products", 0.5, 0.4,
       0, 0.08, 0.12},
      {kExpertHalf, "expert_half_width", "width of an expert that reaches half of that share", 400,
       0.5, 0, 0, 0},
      {kPermuteBytes, "permute_bytes",
       "traffic of sorting tokens by expert, bytes per token, expert and width", 12, 0.6, 0, 0,
       0.12},
      {kHostExperts, "host_experts_s", "host time added by an expert layer, forward and backward",
       5e-3, 0.7, 0, 0.15, 0.3},
      {kDispatchExposed, "dispatch_exposed", "part of the expert all-to-all that is not hidden",
       0.7, 0.4, 0, 0, 0.05},
      {kDispatchAcross, "dispatch_across",
       "bandwidth of the all-to-all between nodes, relative to the NICs", 0.5, 0.5, 0, 0, 0.1},
      {kScanBytes, "scan_bytes", "traffic of a recurrent layer, bytes per token and inner width",
       150, 0.6, 0, 0, 0},
      {kShardExposed, "shard_exposed", "part of the weight gathering of ZeRO-3 that is not hidden",
       0.25, 0.6, 0, 0, 0},

      {kServeMemory, "serve_memory", "share of the memory bandwidth when weights are streamed",
       0.80, 0.12, 0.08, 0.08, 0},
      {kServeCache, "serve_cache", "share of the memory bandwidth when the cache is read", 0.55,
       0.4, 0.25, 0.2, 0.1},
      {kServeGemm, "serve_gemm", "share of the peak in decode products", 0.6, 0.3, 0.15, 0, 0},
      {kServeExpert, "serve_expert", "share of the peak in decode expert products", 0.25, 0.5, 0.25,
       0, 0},
      {kServeLayer, "serve_layer_s", "fixed time per layer of a decode step", 35e-6, 0.5, 0.4, 0.25,
       0.25},
      {kServeExpertLayer, "serve_expert_layer_s", "fixed time added by an expert layer", 25e-6, 0.6,
       0.4, 0, 0.15},
      {kServeStep, "serve_step_s", "fixed time per decode step", 0.5e-3, 0.8, 0.5, 0, 0.25},
      {kServeSequence, "serve_sequence_s", "host time per sequence and step", 5e-6, 1.0, 0.8, 0,
       0.3},
      {kServeReduce, "serve_reduce_s", "latency of a tensor-parallel all-reduce", 8e-6, 0.5, 0.3,
       0.15, 0},
      {kServeLink, "serve_link", "share of the fast links reached", 0.7, 0.2, 0, 0, 0},
      {kServeDispatch, "serve_dispatch_s", "latency of an expert all-to-all", 25e-6, 0.6, 0.3, 0,
       0},
      {kServeMix, "serve_mix", "cost of prefill mixed into decode, relative to prefill alone", 1.1,
       0.4, 0.3, 0.2, 0.2},
      {kServePrefill, "serve_prefill", "share of the peak in prefill products", 0.5, 0.3, 0.3, 0.2,
       0.3},
      {kServeAttention, "serve_attention", "share of the bf16 peak in the attention core", 0.5, 0.4,
       0, 0.2, 0},
      {kServeImbalance, "serve_imbalance", "load of the fullest expert group relative to the mean",
       1.2, 0.2, 0, 0, 0},
      {kServeHalf, "serve_half_tokens",
       "tokens at which prefill products reach half of their share", 256, 0.7, 0, 0, 0},
      {kServeFirst, "serve_first_s", "fixed time to a first token: tokenizer, scheduler, network",
       40e-3, 0.8, 0.6, 0.3, 0.6},
      {kServeBurst, "serve_burst",
       "share of the concurrency that arrives at once and waits its turn", 0.08, 0.8, 0.5, 0.3,
       0.6},
      {kServeQueue, "serve_queue", "wait for prefill relative to an M/M/1 queue", 0.8, 0.6, 0.4, 0,
       0.5},
      {kServeTurns, "serve_turns", "decode steps that a new request waits for its turn", 1, 0.5,
       0.3, 0, 0.4},
      {kServeTransfer, "serve_transfer_s", "moving the cache from a prefill to a decode worker",
       60e-3, 0.8, 0.5, 0.3, 0.3},
      {kServeCapacity, "serve_capacity",
       "share of memory left by the weights that the cache may use", 0.88, 0.05, 0, 0, 0},

      {kReduceLatency, "reduce_latency_s", "all-reduce: fixed time", 20e-6, 0.7, 0, 0.7, 0},
      {kReduceHop, "reduce_hop_s", "all-reduce: time per member beyond the first", 4e-6, 0.8, 0,
       0.7, 0},
      {kReduceLink, "reduce_link", "all-reduce: share of the link bandwidth for large messages",
       0.78, 0.1, 0, 0.1, 0},
      {kReduceRamp, "reduce_ramp_bytes",
       "all-reduce: bytes per member at which half of that share is reached", 1e6, 1.0, 0, 0.7, 0},
  }};
  return table;
}

std::vector<std::string> Keys::Names() const {
  std::vector<std::string> out;
  if (!engine.empty()) out.push_back("engine:" + engine);
  if (!accelerator.empty()) out.push_back("accelerator:" + accelerator);
  if (!release.empty()) out.push_back("release:" + engine + " " + release);
  return out;
}

KnobTree::KnobTree() {
  for (const KnobInfo& k : KnobTable()) log_base[k.knob] = std::log(k.prior);
}

Coefficients KnobTree::At(const Keys& keys) const {
  std::array<double, kKnobCount> logs = log_base;
  for (const std::string& name : keys.Names()) {
    const auto it = offsets.find(name);
    if (it == offsets.end()) continue;
    for (const auto& [knob, offset] : it->second) logs[static_cast<size_t>(knob)] += offset;
  }
  Coefficients c;
  for (size_t i = 0; i < logs.size(); ++i) c.value[i] = std::exp(logs[i]);
  return c;
}

}  // namespace weir::blueprint
