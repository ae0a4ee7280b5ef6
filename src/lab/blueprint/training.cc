#include "lab/blueprint/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace weir::blueprint {

std::string_view NameOf(TimePart part) {
  static constexpr std::array<std::string_view, kTimeParts> names = {
      "matrix products",  "attention",     "streaming kernels",
      "recurrent layers", "experts",       "expert traffic",
      "tensor traffic",   "host",          "head and loss",
      "pipeline bubble",  "stage traffic", "gradient exchange",
      "weight gathering", "optimizer",     "fixed"};
  return names[static_cast<size_t>(part)];
}

TimePart TrainPrediction::Largest() const {
  return static_cast<TimePart>(std::max_element(parts.begin(), parts.end()) - parts.begin());
}

TrainingModel::TrainingModel(const ModelShape& shape, const Accelerator& accelerator,
                             double oversubscription, const TrainWork& work,
                             const Coefficients& coefficients)
    : shape_(shape),
      accelerator_(accelerator),
      oversubscription_(std::max(1.0, oversubscription)),
      work_(work),
      c_(coefficients),
      counts_(CountParameters(shape)),
      flops_per_token_(ForwardFlopsPerToken(shape, work.sequence)) {
  const double h = shape.hidden;
  const auto add = [&](double n, double k, double layers, bool cut_n) {
    if (n > 0 && k > 0 && layers > 0)
      products_[static_cast<size_t>(product_count_++)] = {n, k, layers, cut_n};
  };
  if (shape.latent()) {
    const double q = shape.heads * (shape.plain_dim + shape.rope_dim);
    add(shape.q_rank + shape.kv_rank + shape.rope_dim, h, shape.attention_layers, true);
    add(q, shape.q_rank > 0 ? shape.q_rank : h, shape.attention_layers, true);
    add(shape.heads * (shape.plain_dim + shape.value_dim), shape.kv_rank, shape.attention_layers,
        true);
    add(h, shape.heads * shape.value_dim, shape.attention_layers, false);
    attention_width_ = shape.heads * (shape.plain_dim + shape.rope_dim + shape.value_dim) / 2;
  } else {
    const double queries = shape.heads * (shape.gated_attention ? 2 : 1);
    add(shape.head_dim * (queries + 2 * shape.kv_heads), h, shape.attention_layers, true);
    add(h, shape.heads * shape.head_dim, shape.attention_layers, false);
    attention_width_ = shape.heads * shape.head_dim;
  }
  add(shape.recurrent_in_width, h, shape.recurrent_layers, true);
  add(h, shape.recurrent_inner, shape.recurrent_layers, false);
  const double up = shape.gated_ffn ? 2 : 1;
  add(up * shape.ffn, h, shape.ffn_layers, true);
  add(h, shape.ffn, shape.ffn_layers, false);
  add(up * shape.shared_ffn, h, shape.moe_layers, true);
  add(h, shape.shared_ffn, shape.moe_layers, false);
  if (shape.moe_latent > 0) {
    add(shape.moe_latent, h, shape.moe_layers, true);
    add(h, shape.moe_latent, shape.moe_layers, false);
  }
}

double TrainingModel::RingSeconds(double members, double per_domain, double bytes,
                                  double passes) const {
  if (members <= 1) return 0;
  const double fast = accelerator_.link_bytes_per_s * c_[kLink];
  const double volume = passes * (members - 1) / members * bytes;
  if (members <= per_domain) return volume / fast + c_[kLinkLatency] * std::sqrt(members - 1);
  // The members inside one domain drive their NICs together.
  const double slow = std::min(fast, accelerator_.nic_bytes_per_s * c_[kNic] *
                                         std::max(1.0, per_domain) / oversubscription_);
  return volume / slow + c_[kNicLatency] * std::sqrt(members - 1);
}

std::string TrainingModel::Forbids(const Layout& l) const {
  const ModelShape& m = shape_;
  const auto divides = [](double whole, double parts) { return std::fmod(whole, parts) == 0; };
  if (l.tp < 1 || l.pp < 1 || l.dp < 1 || l.cp < 1 || l.ep < 1 || l.micro_batch < 1 ||
      l.interleave < 1)
    return "every degree must be at least 1";
  if (accelerator_.Flops(l.precision) <= 0)
    return fmt::format("{} does not compute in {}", accelerator_.name, NameOf(l.precision));
  if (m.attention_layers > 0 && !divides(m.heads, l.tp))
    return fmt::format("tp {} does not divide {} heads", l.tp, m.heads);
  if (l.tp > 1 && !divides(m.hidden, l.tp))
    return fmt::format("tp {} does not divide hidden {}", l.tp, m.hidden);
  if (static_cast<double>(l.pp) * l.interleave > m.blocks)
    return fmt::format("{} stages x {} chunks are more than {} layers", l.pp, l.interleave,
                       m.blocks);
  if (l.pp == 1 && l.interleave > 1) return "interleaving needs more than one stage";
  // A stage may hold one layer more than another; embedding and head count as layers where that
  // evens out.
  if (l.ep > 1) {
    if (!m.has_experts()) return "ep needs a model with experts";
    if (!divides(m.experts, l.ep))
      return fmt::format("ep {} does not divide {} experts", l.ep, m.experts);
    if (!divides(static_cast<double>(l.tp) * l.cp * l.dp, l.ep))
      return fmt::format("ep {} does not divide the {} ranks of a stage", l.ep,
                         static_cast<double>(l.tp) * l.cp * l.dp);
  }
  if (!divides(work_.sequence, 2.0 * l.cp) && l.cp > 1)
    return fmt::format("cp {} does not divide the sequence in halves", l.cp);
  if (!divides(work_.global_batch, static_cast<double>(l.dp) * l.micro_batch))
    return fmt::format("dp {} x micro-batch {} does not divide the batch of {}", l.dp,
                       l.micro_batch, work_.global_batch);
  if (l.interleave > 1 && !divides(work_.global_batch / l.dp / l.micro_batch, l.pp))
    return fmt::format("interleaving needs micro-batches in multiples of the {} stages", l.pp);
  return "";
}

MemoryUse TrainingModel::Memory(const Layout& l) const {
  const ModelShape& m = shape_;
  const double tp = l.tp, pp = l.pp, ep = l.ep;
  MemoryUse use;
  const double dense = counts_.blocks_dense() + counts_.norms;
  // The first stage holds the embedding, the last the head: with one stage both.
  const double ends =
      pp == 1 ? counts_.embeddings + counts_.head
              : std::max(counts_.embeddings,
                         std::max(counts_.head, counts_.embeddings * (m.tied_embeddings ? 1 : 0)));
  const double held_dense = dense / pp / tp + ends / tp;
  const double held_experts = counts_.experts / pp / ep;
  const double group = static_cast<double>(l.dp) * l.cp;
  const double expert_group = std::max(1.0, group * tp / ep);
  const double trainable = work_.adapters ? 0.01 : 1;
  const auto split = [&](int stage, double bytes) {
    const double dense_share = l.zero >= stage ? held_dense / group : held_dense;
    const double expert_share = l.zero >= stage ? held_experts / expert_group : held_experts;
    return bytes * (dense_share + expert_share);
  };
  use.weights = split(3, 2);
  use.gradients = trainable * split(2, 4);
  use.optimizer = trainable * split(1, 12);

  // Activations kept for the backward pass, bytes per token (Korthikanti et al. 2022, table 2,
  // written for any widths; 2 bytes an element, 1 a dropout mask).
  const double h = m.hidden, dropout = m.biases && !m.has_experts() ? 1 : 0;
  const double outside = l.sequence_parallel ? tp : 1;
  const double context = work_.sequence;
  double scores = work_.fused_attention ? 4 * m.heads : 5 * m.heads * context;
  if (l.recompute != Recompute::kNone && !work_.fused_attention) scores = 0;
  const double kv_width = m.latent() ? attention_width_ : m.kv_heads * m.head_dim;
  const double attention =
      (4 + dropout) * h / outside + (2 * (2 * attention_width_ + 2 * kv_width) + scores) / tp;
  const double matrices = m.gated_ffn ? 3 : 2;
  const double ffn = (4 + dropout) * h / outside + 2 * matrices * m.ffn / tp;
  const double width = m.moe_latent > 0 ? m.moe_latent : h;
  const double experts = 4 * h / outside + 2 * matrices * m.shared_ffn / tp +
                         m.experts_per_token * (2 * width + 2 * matrices * m.expert_ffn) / tp;
  const double recurrent =
      4 * h / outside + 2 * (m.recurrent_in_width + 2 * m.recurrent_inner) / tp;
  double per_token = m.attention_layers * attention + m.ffn_layers * ffn + m.moe_layers * experts +
                     m.recurrent_layers * recurrent;
  if (l.recompute == Recompute::kFull) per_token = m.blocks * 2 * h / outside;
  if (l.recompute == Recompute::kSelective && work_.fused_attention)
    per_token -= 0.5 *
                 (m.ffn_layers * 2 * matrices * m.ffn +
                  m.moe_layers * m.experts_per_token * 2 * matrices * m.expert_ffn) /
                 tp;
  const double tokens = l.micro_batch * work_.sequence / l.cp;
  const double micro_batches = std::max(1.0, work_.global_batch / l.dp / l.micro_batch);
  // The first stage keeps one micro-batch per stage in flight; interleaving adds a part of one.
  const double in_flight = std::min(micro_batches, pp) / pp *
                           (l.interleave > 1 ? 1 + (pp - 1) / (pp * l.interleave) : 1);
  use.activations = tokens * per_token * in_flight;
  use.logits = tokens * m.vocab / tp * 4 / (pp > 1 ? 2 : 1);
  use.reserve = 1.5e9;
  return use;
}

TrainPrediction TrainingModel::Predict(const Layout& l) const {
  const ModelShape& m = shape_;
  const double tp = l.tp, pp = l.pp, ep = l.ep, v = l.interleave, h = m.hidden;
  const double tokens = l.micro_batch * work_.sequence / l.cp;
  const double micro_batches = std::max(1.0, work_.global_batch / l.dp / l.micro_batch);
  const double bandwidth = accelerator_.memory_bytes_per_s * c_[kMemory];
  const double link = accelerator_.link_bytes_per_s * c_[kLink];
  const double nic = accelerator_.nic_bytes_per_s * c_[kNic] / oversubscription_;
  const double domain = accelerator_.domain;

  double share = c_[kGemmBf16], bytes = 2, scaling = 1;
  if (l.precision == Precision::kFp8 || l.precision == Precision::kMxfp8) {
    share = c_[kGemmFp8];
    bytes = 1;
  } else if (l.precision == Precision::kNvfp4) {
    share = c_[kGemmFp4];
    bytes = 0.56;
  }
  if (l.precision == Precision::kMxfp8) scaling = c_[kScaling];
  const double rate = accelerator_.Flops(l.precision) * share / scaling;
  const double attention_rate = accelerator_.bf16_flops * c_[kAttention];

  // Backward is two products for each of forward's; with frozen weights one.
  const double again = l.recompute == Recompute::kFull ? 1 : 0;
  const double passes = (work_.adapters ? 2 : 3) + again;

  double products = 0;
  for (int i = 0; i < product_count_; ++i) {
    const Product& p = products_[static_cast<size_t>(i)];
    const double n = p.cut_n ? p.n / tp : p.n, k = p.cut_n ? p.k : p.k / tp;
    products += p.layers * (2 * tokens * n * k / rate * (1 + c_[kGemmHalf] / std::min(n, k)) +
                            bytes * (tokens * (n + k) + n * k) / bandwidth);
  }
  products *= passes;

  double context = MeanContext(m, work_.sequence);
  double attention_passes = (work_.fused_attention ? 3.5 : 3) + again;
  double scores = 0;
  if (!work_.fused_attention) {
    context = work_.sequence;  // the kernels of that time computed the masked half too
    if (l.recompute == Recompute::kSelective) attention_passes += 1;
    scores = c_[kSoftmaxBytes] * tokens * context * m.heads / tp / bandwidth;
  }
  const double attention = attention_passes * m.attention_layers *
                           (4 * tokens * context * attention_width_ / tp / attention_rate + scores);

  const double parts = m.attention_layers + m.recurrent_layers + m.ffn_layers + m.moe_layers;
  // A third of this traffic lies outside of what tensor parallelism cuts, unless the sequence is
  // cut.
  const double cut = l.sequence_parallel ? 1 / tp : 1.0 / 3 + 2.0 / 3 / tp;
  // Selective recomputation of a fused model repeats the activation functions, not the products.
  const double repeated = l.recompute == Recompute::kSelective && work_.fused_attention ? 0.5 : 0;
  const double streaming =
      (passes + repeated) * c_[kElementBytes] * tokens * h * parts / 2 * cut / bandwidth;
  const double recurrent =
      passes * c_[kScanBytes] * tokens * m.recurrent_layers * m.recurrent_inner / tp / bandwidth;

  double experts = 0, dispatch = 0;
  if (m.has_experts()) {
    const double mine = tokens / tp;  // tokens of a rank: the sequence is cut by tp here
    const double width = m.moe_latent > 0 ? m.moe_latent : h;
    experts =
        passes * 2 * counts_.experts_active * mine / (rate * c_[kExpert]) *
            (1 + c_[kExpertHalf] / m.expert_ffn) +
        passes * c_[kPermuteBytes] * mine * m.experts_per_token * width * m.moe_layers / bandwidth;
    if (ep > 1) {
      // Out and back, forward and backward, two bytes an element. Between domains a token travels
      // once to each domain that holds one of its experts.
      const double each_way = 4 * m.moe_layers * mine * width * 2;
      const double domains = std::max(1.0, ep / domain);
      const double near = m.experts_per_token * (ep - 1) / ep;
      const double far =
          domains > 1 ? (domains - 1) * (1 - std::pow(1 - 1 / domains, m.experts_per_token)) : 0;
      dispatch = c_[kDispatchExposed] *
                 (each_way * near / link + each_way * far / (nic * c_[kDispatchAcross]) +
                  4 * m.moe_layers * (domains > 1 ? c_[kNicLatency] : c_[kLinkLatency]));
    }
  }

  double tensor = 0;
  const double collectives = parts * (work_.adapters ? 2 : 2 + again);
  if (tp > 1) {
    const double message = tokens * h * 2;
    double one;
    if (tp <= domain) {
      one = RingSeconds(tp, domain, message, 2);
    } else {
      one = 2 * (tp - 1) / tp * message / (nic * domain * c_[kTensorAcross]) +
            c_[kNicLatency] * std::sqrt(tp - 1);
    }
    tensor += c_[kTensorExposed] * collectives * one;
  }
  if (l.cp > 1) {
    const double kv = m.latent() ? m.kv_rank + m.rope_dim
                                 : 2 * m.kv_heads * m.head_dim / std::min(tp, m.kv_heads);
    const double round = m.attention_layers * 3 * (l.cp - 1) * tokens * kv * 2;
    tensor += c_[kTensorExposed] * round / (tp * l.cp <= domain ? link : nic);
  }

  const double device = products + attention + streaming + recurrent + experts + dispatch + tensor;
  const double host =
      (1 + again / 3) *
      (parts / 2 * (c_[kHostLayer] + (tp > 1 ? c_[kHostTensor] * std::log2(tp) : 0)) +
       m.moe_layers * c_[kHostExperts]);
  const double blend = std::max(1.0, c_[kHostBlend]);
  const double layers = std::pow(std::pow(device, blend) + std::pow(host, blend), 1 / blend);

  const double logits = tokens * m.vocab / tp;
  const double head_once =
      (work_.adapters ? 2.0 : 3.0) *
          (2 * logits * h / (accelerator_.bf16_flops * c_[kGemmBf16]) * (1 + c_[kGemmHalf] / h)) +
      c_[kLogitBytes] * logits / bandwidth + c_[kHeadHost];
  // The fullest stage sets the pace. Where layers + 2 fill the chunks evenly, the two ends of the
  // pipeline hold one layer less, which makes room for embedding and head.
  const double chunks = pp * v;
  const bool even = std::fmod(m.blocks, chunks) == 0;
  const bool ends_even = !even && std::fmod(m.blocks + 2, chunks) == 0;
  const double fullest = even        ? m.blocks / pp
                         : ends_even ? (m.blocks + 2) / pp
                                     : std::ceil(m.blocks / chunks) * v;
  const double stage = layers / m.blocks * fullest;
  double head = head_once;
  if (pp > 1 && ends_even) head = std::max(0.0, head_once - layers / m.blocks);
  double pipe = 0;
  if (pp > 1) {
    const bool inside = tp * l.cp * l.dp * pp <= domain;
    pipe = 2 * v *
           (c_[kPipeExposed] * tokens * h * 2 / (l.sequence_parallel ? tp : 1) /
                (inside ? link : nic) +
            c_[kPipeLatency]);
  }

  // After the last micro-batch.
  const double held_dense = (counts_.blocks_dense() + counts_.norms) / pp / tp +
                            (counts_.embeddings + counts_.head) / tp / (pp > 1 ? 2 : 1);
  const double held_experts = counts_.experts / pp / ep;
  const double trainable = work_.adapters ? 0.01 : 1;
  const double group = static_cast<double>(l.dp) * l.cp;
  const double expert_group = std::max(1.0, group * tp / ep);
  const double together = std::max(1.0, domain / tp);
  const double expert_together = std::max(1.0, domain / ep);
  // ZeRO scatters 4-byte gradients and gathers 2-byte weights; plain replicas sum 4-byte gradients.
  const double sides = l.zero >= 1 ? 1.5 : 2;
  double gradients = 0, sharding = 0;
  if (l.zero >= 3) {
    const double gathered = 2 * micro_batches * (work_.adapters ? 1 : 1.5);
    sharding = c_[kShardExposed] *
               (RingSeconds(group, together, held_dense * 2, gathered) +
                RingSeconds(expert_group, expert_together, held_experts * 2, gathered));
  } else {
    gradients = c_[kDataExposed] * trainable *
                (RingSeconds(group, together, held_dense * 4, sides) +
                 RingSeconds(expert_group, expert_together, held_experts * 4, sides));
  }
  const double optimizer =
      trainable * c_[kOptimizerBytes] / bandwidth *
      (l.zero >= 1 ? held_dense / group + held_experts / expert_group : held_dense + held_experts);

  TrainPrediction out;
  auto& part = out.parts;
  const auto set = [&](TimePart which, double seconds) {
    part[static_cast<size_t>(which)] = seconds;
  };
  const double turns = micro_batches * fullest / m.blocks;
  set(TimePart::kProducts, turns * products);
  set(TimePart::kAttention, turns * attention);
  set(TimePart::kStreaming, turns * streaming);
  set(TimePart::kRecurrent, turns * recurrent);
  set(TimePart::kExperts, turns * experts);
  set(TimePart::kDispatch, turns * dispatch);
  set(TimePart::kTensor, turns * tensor);
  set(TimePart::kHost, turns * (layers - device));  // what the device does not hide
  set(TimePart::kHead, micro_batches * head);
  set(TimePart::kBubble, (pp - 1) / v * (stage + pipe));
  set(TimePart::kPipe, micro_batches * pipe);
  set(TimePart::kGradients, gradients);
  set(TimePart::kSharding, sharding);
  set(TimePart::kOptimizer, optimizer);
  set(TimePart::kFixed, c_[kStep]);
  for (const double seconds : part) out.step_s += seconds;

  const double step_tokens = work_.global_batch * work_.sequence;
  out.tokens_per_s = step_tokens / out.step_s;
  out.model_flops_per_s =
      (work_.adapters ? 2 : 3) * flops_per_token_ * step_tokens / out.step_s / l.accelerators();
  out.mfu = out.model_flops_per_s / accelerator_.Flops(l.precision);
  out.memory = Memory(l);
  return out;
}

}  // namespace weir::blueprint
