#include "engine/model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/kernels/attend.h"
#include "engine/model/architecture.h"
#include "engine/model/config_limits.h"

namespace weir::model {
namespace {

Error Bad(std::string_view field, double value, std::string_view need) {
  return Error(Code::kInvalidArgument,
               fmt::format("model shape: {} is {}, but {}", field, value, need));
}

Status ValidateSizes(const ModelConfig& c) {
  const bool experts = c.experts > 0;
  const struct {
    std::string_view name;
    int64_t value, min, max;
  } sizes[] = {{"vocab_size", c.vocab_size, 1, kMaxVocab},
               {"dim", c.dim, 1, kMaxWidth},
               {"layers", c.layers, 1, kMaxLayers},
               {"heads", c.heads, 1, kMaxWidth},
               {"kv_heads", c.kv_heads, 1, kMaxWidth},
               {"head_dim", c.head_dim, 1, kernels::kMaxHeadDim},
               {"ffn_dim", c.ffn_dim, experts ? 0 : 1, kMaxWidth},
               {"max_seq", c.max_seq, 1, kMaxSequence},
               {"sliding_window", c.sliding_window, 0, kMaxSequence},
               {"sliding_from", c.sliding_from, 0, kMaxLayers},
               {"global_every", c.global_every, 0, kMaxLayers},
               {"experts", c.experts, 0, kMaxExperts},
               {"experts_used", c.experts_used, experts ? 1 : 0, c.experts},
               {"expert_ffn_dim", c.expert_ffn_dim, experts ? 1 : 0, experts ? kMaxWidth : 0}};
  for (const auto& size : sizes) {
    if (size.value < size.min || size.value > size.max) {
      return Bad(size.name, static_cast<double>(size.value),
                 fmt::format("must be {} to {}", size.min, size.max));
    }
  }
  if (int64_t{c.layers} * c.experts > kMaxLayerExperts) {
    return Bad("layers x experts", static_cast<double>(c.layers) * c.experts,
               fmt::format("must be at most {}", kMaxLayerExperts));
  }
  if (RowOf(c.architecture).experts != experts) {
    return Bad("experts", c.experts,
               fmt::format("the architecture is {}", RowOf(c.architecture).name));
  }
  if (c.heads % c.kv_heads != 0) {
    return Bad("kv_heads", c.kv_heads, fmt::format("must divide heads, which is {}", c.heads));
  }
  if (c.head_dim % 2 != 0) return Bad("head_dim", c.head_dim, "must be even");
  if (c.rope_dim < 0 || c.rope_dim % 2 != 0 || c.rope_dim > c.head_dim) {
    return Bad("rope_dim", c.rope_dim, fmt::format("must be even, and at most {}", c.head_dim));
  }
  if (static_cast<int64_t>(c.heads) * c.head_dim > kMaxWidth) {
    return Bad("heads x head_dim", static_cast<double>(c.heads) * c.head_dim,
               fmt::format("must be at most {}", kMaxWidth));
  }
  return {};
}

Status ValidateNumbers(const ModelConfig& c) {
  const struct {
    std::string_view name;
    float value;
    bool zero;  // may be 0
  } numbers[] = {{"rope_theta", c.rope_theta, false},
                 {"rope_theta_local", c.rope_theta_local, true},
                 {"query_scalar", c.query_scalar, true},
                 {"attention_softcap", c.attention_softcap, true},
                 {"logit_softcap", c.logit_softcap, true}};
  for (const auto& number : numbers) {
    const bool fine = number.value > 0 || (number.zero && number.value == 0);
    if (!fine || !std::isfinite(number.value)) {
      return Bad(number.name, static_cast<double>(number.value), "must be positive");
    }
  }
  if (!(c.norm_eps >= 0) || !(c.norm_eps < 1)) {
    return Bad("norm_eps", static_cast<double>(c.norm_eps), "must be in [0, 1)");
  }
  if (c.bos_id < -1 || c.bos_id >= c.vocab_size) return Bad("bos_id", c.bos_id, "is no token");
  if (c.eos_id < -1 || c.eos_id >= c.vocab_size) return Bad("eos_id", c.eos_id, "is no token");
  return {};
}

Status ValidateRope(const ModelConfig& c) {
  const RopeScaling& s = c.rope;
  if (s.kind == RopeKind::kPlain) return {};
  if (!(s.factor >= 1) || s.factor > 1e6f) {
    return Bad("rope factor", static_cast<double>(s.factor), "must be 1 to 1000000");
  }
  if (s.kind == RopeKind::kLinear) return {};
  if (static_cast<double>(s.factor) * s.original_seq > static_cast<double>(kMaxSequence)) {
    return Bad("rope factor", static_cast<double>(s.factor),
               fmt::format("reaches more than {} positions", kMaxSequence));
  }
  if (s.original_seq < 2 || s.original_seq > kMaxSequence) {
    return Bad("rope original_max_position_embeddings", s.original_seq,
               fmt::format("must be 2 to {}", kMaxSequence));
  }
  if (!(s.attention_factor >= 0) || s.attention_factor > 1e3f) {
    return Bad("rope attention_factor", static_cast<double>(s.attention_factor),
               "must be 0 to 1000");
  }
  if (s.kind == RopeKind::kDynamic && c.rotary_dim() < 4) {
    return Bad("head_dim", c.head_dim, "the dynamic rope needs at least 4");
  }
  if (s.kind == RopeKind::kLlama3 &&
      !(s.low_freq_factor > 0 && s.high_freq_factor > s.low_freq_factor &&
        s.high_freq_factor <= 1e6f)) {
    return Bad("rope high_freq_factor", static_cast<double>(s.high_freq_factor),
               fmt::format("must be above low_freq_factor, which is {}, and that above 0",
                           s.low_freq_factor));
  }
  if (s.kind == RopeKind::kYarn &&
      !(s.beta_slow > 0 && s.beta_fast > s.beta_slow && s.beta_fast <= 1e6f && c.rope_theta > 1)) {
    return Bad("rope beta_fast", static_cast<double>(s.beta_fast),
               fmt::format("must be above beta_slow, which is {}, and that above 0; rope_theta "
                           "above 1",
                           s.beta_slow));
  }
  if (s.kind == RopeKind::kLongRope) {
    const auto pairs = static_cast<size_t>(c.rotary_dim()) / 2;
    for (const auto* factors : {&s.short_factors, &s.long_factors}) {
      if (factors->size() != pairs) {
        return Bad("rope factors", static_cast<double>(factors->size()),
                   fmt::format("there are {} pairs", pairs));
      }
      for (const float f : *factors) {
        if (!(f > 1e-6f) || !(f < 1e6f)) {
          return Bad("rope factor", static_cast<double>(f), "must be positive");
        }
      }
    }
  }
  return {};
}

}  // namespace

Status Validate(const ModelConfig& config) {
  TRY(ValidateSizes(config));
  TRY(ValidateNumbers(config));
  return ValidateRope(config);
}

int64_t ParameterCount(const ModelConfig& config) {
  int64_t total = 0;
  for (const TensorSpec& tensor : TensorSpecs(config)) {
    int64_t elements = 1;
    for (const int64_t n : tensor.shape) elements *= n;
    total += elements;
  }
  return total;
}

int64_t ActiveParameterCount(const ModelConfig& config) {
  int64_t total = 0;
  for (const TensorSpec& tensor : TensorSpecs(config)) {
    for (const Place& place : tensor.places) {
      if (place.expert >= config.experts_used) continue;
      if (place.slot == Slot::kEmbedding && !config.tied_embeddings) continue;
      total += RowsOf(config, place.slot) * ColumnsOf(config, place.slot);
    }
  }
  return total;
}

}  // namespace weir::model
