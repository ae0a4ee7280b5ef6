#include "lab/blueprint/serving.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace weir::blueprint {

std::string_view NameOf(ServePart part) {
  static constexpr std::array<std::string_view, kServeParts> names = {
      "weights",   "key-value cache", "matrix products", "experts", "attention",
      "per layer", "reductions",      "expert traffic",  "host",    "mixed prefill"};
  return names[static_cast<size_t>(part)];
}

ServePart ServePrediction::Largest() const {
  return static_cast<ServePart>(std::max_element(parts.begin(), parts.end()) - parts.begin());
}

std::string Describe(const ServeLayout& l) {
  const auto group = [](const ServeGroup& g) {
    return fmt::format("tp{} adp{} ep{}", g.tp, g.attention_dp, g.ep);
  };
  if (l.disaggregated)
    return fmt::format("prefill {} x {}, decode {} x {}, {}", l.prefill_workers, group(l.prefill),
                       l.workers, group(l.decode), NameOf(l.precision));
  return fmt::format("{} x {}, {}", l.workers, group(l.decode), NameOf(l.precision));
}

ServingModel::ServingModel(const ModelShape& shape, const Accelerator& accelerator,
                           const Coefficients& c)
    : shape_(shape), accelerator_(accelerator), c_(c), counts_(CountParameters(shape)) {
  if (shape.latent()) {
    // Decode multiplies in the compressed space; prefill expands it.
    attention_width_ = shape.heads * (shape.kv_rank + shape.rope_dim / 2);
    prefill_width_ = shape.heads * (shape.plain_dim + shape.rope_dim + shape.value_dim) / 2;
  } else {
    attention_width_ = prefill_width_ = shape.heads * shape.head_dim;
  }
}

ServingModel::Bytes ServingModel::BytesOf(Precision p) const {
  Bytes b{2, 2, 2, 2, 2};
  if (p == Precision::kFp8 || p == Precision::kMxfp8) b = {1, 1, 1, 1, 1};
  // Four bits and a shared scale per 16. Latent attention stays in 8 bits in the published weights.
  if (p == Precision::kNvfp4) b = {shape_.latent() ? 1.0 : 0.57, 0.57, 0.57, 1, 1};
  if (shape_.stored_expert_bytes > 0) b = {2, 2, shape_.stored_expert_bytes, 2, 1};
  return b;
}

double ServingModel::Rate(Precision p) const {
  // Fewer bits than the tensor cores know are widened to the narrowest they do know.
  double rate = accelerator_.Flops(p);
  if (rate <= 0) rate = accelerator_.Flops(Precision::kFp8);
  if (rate <= 0) rate = accelerator_.bf16_flops;
  return rate;
}

std::string ServingModel::Forbids(const ServeLayout& l) const {
  const auto group = [&](const ServeGroup& g, std::string_view which) -> std::string {
    if (g.tp < 1 || g.attention_dp < 1 || g.ep < 1)
      return fmt::format("{}: every degree must be at least 1", which);
    if (shape_.attention_layers > 0 && std::fmod(shape_.heads, g.tp) != 0)
      return fmt::format("{}: tp {} does not divide {} heads", which, g.tp, shape_.heads);
    if (g.ep > 1 && !shape_.has_experts())
      return fmt::format("{}: ep needs a model with experts", which);
    if (g.ep > g.accelerators() || g.accelerators() % g.ep != 0)
      return fmt::format("{}: ep {} does not divide the group of {}", which, g.ep,
                         g.accelerators());
    if (!shape_.has_experts() && g.attention_dp > 1)
      return fmt::format("{}: attention copies within a group only make sense with experts", which);
    return "";
  };
  if (std::string why = group(l.decode, "decode"); !why.empty()) return why;
  if (l.disaggregated) return group(l.prefill, "prefill");
  return "";
}

double ServingModel::WeightBytes(const ServeGroup& g, const Bytes& b) const {
  const double everywhere =
      (counts_.attention + counts_.recurrent) / g.tp * b.attention +
      (counts_.dense_ffn + counts_.shared + counts_.router) / g.tp * b.dense +
      (counts_.head + (shape_.tied_embeddings ? counts_.embeddings : 0)) / g.tp * 2;
  return everywhere + counts_.experts / g.accelerators() * b.expert;
}

double ServingModel::PrefillSeconds(const ServeGroup& g, Precision p, double tokens) const {
  const ModelShape& m = shape_;
  const double rate = Rate(p) * c_[kServePrefill];
  const double size = g.accelerators();
  const double link = accelerator_.link_bytes_per_s * c_[kServeLink];
  const double bandwidth = accelerator_.memory_bytes_per_s * c_[kServeMemory];
  const double context = MeanContext(m, tokens);
  double seconds =
      2 * counts_.blocks_dense() * tokens / g.tp / rate * (1 + c_[kServeHalf] / tokens);
  seconds += 2 * counts_.experts_active * tokens * g.attention_dp / size / rate;
  seconds += m.attention_layers * 4 * tokens * context * prefill_width_ / g.tp /
             (accelerator_.bf16_flops * c_[kServeAttention]);
  const double parts = m.attention_layers + m.recurrent_layers + m.ffn_layers + m.moe_layers;
  if (g.tp > 1) seconds += parts * 2 * (g.tp - 1) / g.tp * tokens * m.hidden * 2 / link;
  if (g.attention_dp > 1)
    seconds +=
        m.moe_layers * 2 * tokens * std::min(m.experts_per_token, size) * m.hidden * 1.5 / link;
  seconds += parts / 2 * tokens * m.hidden * 30 / g.tp / bandwidth;
  return seconds;
}

ServePrediction ServingModel::Predict(const ServeLayout& l, const ServeWork& work) const {
  const ModelShape& m = shape_;
  const ServeGroup& g = l.decode;
  const Bytes b = BytesOf(l.precision);
  const double size = g.accelerators(), tp = g.tp;
  const double bandwidth = accelerator_.memory_bytes_per_s * c_[kServeMemory];
  const double link = accelerator_.link_bytes_per_s * c_[kServeLink];
  const double wanted = std::max(1e-9, work.concurrency / l.workers / g.attention_dp);

  ServePrediction out;
  // Room for the cache decides how many of the wanted sequences run at once.
  const double weights = WeightBytes(g, b);
  out.memory.weights = weights;
  out.memory.reserve = 3e9;
  const double room =
      (accelerator_.memory_bytes * 0.95 - weights - out.memory.reserve) * c_[kServeCapacity];
  const double shards = m.latent() ? 1 : std::min(tp, std::max(1.0, m.kv_heads));
  const double cache_token = KvBytesPerToken(m, b.cache) / shards;
  // Windowed layers keep their window only.
  const double full = m.attention_layers > 0 ? 1 - m.windowed_layers / m.attention_layers : 0;
  const auto cached = [&](double context) {
    if (m.window <= 0 || m.windowed_layers <= 0) return context;
    return full * context + (1 - full) * std::min(context, m.window);
  };
  const double mean_context = cached(work.input + work.output / 2);
  const double sequence_bytes = std::max(1.0, cache_token * mean_context);
  const double fits = std::max(0.0, room / sequence_bytes);
  out.fits = fits * g.attention_dp * l.workers;
  const double batch = std::max(std::min(wanted, fits), std::min(wanted, 1.0));
  out.memory.cache = batch * sequence_bytes;

  auto& part = out.parts;
  const auto set = [&](ServePart which, double seconds) {
    part[static_cast<size_t>(which)] = seconds;
  };
  const double rows = batch * g.attention_dp;  // of the whole group
  const double touched =
      m.experts > 0 ? 1 - std::pow(1 - m.experts_per_token / m.experts, rows) : 0;
  const double expert_bytes = counts_.experts * b.expert / size;
  const double imbalance = g.ep > 1 ? c_[kServeImbalance] : 1;
  // Reading and multiplying overlap within a kernel: what arithmetic adds is what it takes beyond
  // the reading, blended a little where the two are near.
  const auto beyond = [](double reading, double arithmetic) {
    return std::cbrt(reading * reading * reading + arithmetic * arithmetic * arithmetic) - reading;
  };
  const double read_dense = (weights - expert_bytes) / bandwidth;
  const double read_experts = touched * expert_bytes * imbalance / bandwidth;
  const double read_cache =
      batch * mean_context * cache_token / (accelerator_.memory_bytes_per_s * c_[kServeCache]);
  set(ServePart::kWeights, read_dense + read_experts);
  set(ServePart::kCache, read_cache);
  set(ServePart::kProducts, beyond(read_dense, 2 * counts_.blocks_dense() / tp * batch /
                                                   (Rate(l.precision) * c_[kServeGemm])));
  set(ServePart::kExperts,
      beyond(read_experts, 2 * counts_.experts_active * rows / size /
                               (Rate(l.precision) * c_[kServeExpert]) * imbalance));
  set(ServePart::kAttention,
      beyond(read_cache, m.attention_layers * 4 * batch * mean_context * attention_width_ / tp /
                             (accelerator_.bf16_flops * c_[kServeAttention])));
  set(ServePart::kLayers, c_[kServeLayer] * m.blocks + c_[kServeExpertLayer] * m.moe_layers);
  const double parts = m.attention_layers + m.recurrent_layers + m.ffn_layers + m.moe_layers;
  if (tp > 1)
    set(ServePart::kReduce, parts * (c_[kServeReduce] * (1 + 0.25 * (std::log2(tp) - 1)) +
                                     2 * (tp - 1) / tp * batch * m.hidden * 2 / link));
  if (g.attention_dp > 1)
    set(ServePart::kDispatch,
        m.moe_layers *
            (2 * c_[kServeDispatch] +
             2 * batch * std::min<double>(m.experts_per_token, g.ep) * m.hidden * 1.5 / link));
  set(ServePart::kHost, c_[kServeStep] + c_[kServeSequence] * rows);

  const ServeGroup& first = l.disaggregated ? l.prefill : g;
  const double prefill = PrefillSeconds(first, l.precision, work.input);
  if (!l.disaggregated) set(ServePart::kPrefill, c_[kServeMix] * batch * prefill / work.output);
  for (const double seconds : part) out.tpot_s += seconds;

  // The first token.
  const double alone = prefill + part[static_cast<size_t>(ServePart::kLayers)] +
                       0.3 * WeightBytes(first, b) / bandwidth;
  const double residence = work.output * out.tpot_s;
  // Below one sequence nothing is served at all, and a queue says nothing.
  if (wanted > batch && fits >= 1) out.queued_s = (wanted - batch) / batch * residence;
  const double lanes =
      l.disaggregated ? l.prefill_workers * first.attention_dp : l.workers * g.attention_dp;
  const double arrivals = std::min(work.concurrency, std::max(out.fits, 1.0)) / (residence + alone);
  const double load = std::clamp(arrivals * prefill / lanes, 0.0, 0.95);
  out.ttft_s = c_[kServeFirst] + alone + c_[kServeBurst] * work.concurrency / lanes * prefill +
               c_[kServeQueue] * prefill * load / (1 - load) + out.queued_s +
               (l.disaggregated ? c_[kServeTransfer] : c_[kServeTurns] * out.tpot_s);
  out.output_tokens_per_s = std::min(work.concurrency, batch * g.attention_dp * l.workers) *
                            work.output / (residence + out.ttft_s - out.queued_s);
  return out;
}

}  // namespace weir::blueprint
