// The shape of a decoder-only language model, in numbers: what the arithmetic needs to know, with
// every default of its family filled in. Read from and written to the config.json of Hugging Face's
// tools (here) and GGUF's metadata (config_gguf.h). Which families there are, and what
// distinguishes them, is the table of architecture.h.
//
// Threads: a value. Errors: bad input names the field and the value.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::model {

enum class Architecture : uint8_t {
  kLlama,
  kMistral,
  kMixtral,
  kQwen2,
  kQwen3,
  kQwen3Moe,
  kGemma2,
  kGemma3,
  kPhi3
};

// How positions beyond those of the training are turned; the formulas stand in rope.h.
enum class RopeKind : uint8_t { kPlain, kLinear, kDynamic, kYarn, kLlama3, kLongRope };

struct RopeScaling {
  RopeKind kind = RopeKind::kPlain;
  float factor = 1.0f;                                    // all but kPlain and kLongRope
  int original_seq = 0;                                   // positions trained; all but kLinear
  float low_freq_factor = 1.0f, high_freq_factor = 4.0f;  // kLlama3
  float beta_fast = 32.0f, beta_slow = 1.0f;              // kYarn
  bool truncate = true;                                   // kYarn: its bounds are whole pairs
  float attention_factor = 0.0f;  // kYarn, kLongRope: on cos and sin; 0: by the formula
  std::vector<float> short_factors, long_factors;  // kLongRope: [rotary_dim / 2] each
  bool operator==(const RopeScaling&) const = default;
};

struct ModelConfig {
  Architecture architecture = Architecture::kLlama;
  int vocab_size = 0;
  int dim = 0;       // width of the residual stream (hidden_size)
  int layers = 0;    // num_hidden_layers
  int heads = 0;     // query heads
  int kv_heads = 0;  // key and value heads; divides heads
  int head_dim = 0;  // even; usually dim / heads
  int ffn_dim = 0;   // intermediate_size
  int max_seq = 0;   // positions that the model may be used with
  float rope_theta = 10000.0f;
  float norm_eps = 1e-5f;
  bool tied_embeddings = true;  // the head is the embedding table
  int bos_id = -1;              // -1: none
  int eos_id = -1;

  RopeScaling rope;
  int rope_dim = 0;               // leading elements of a head that turn; 0: all
  float rope_theta_local = 0.0f;  // of sliding layers, which are then unscaled; 0: as the others
  int sliding_window = 0;         // positions that a sliding layer sees, its own included; 0: all
  int sliding_from = 0;           // the first layer that may slide
  int global_every = 0;           // of each this many layers the last one sees all; 0: none does
  bool qkv_bias = false, output_bias = false;
  float query_scalar = 0.0f;  // q · k is divided by its square root; 0: head_dim
  float attention_softcap = 0.0f, logit_softcap = 0.0f;  // c * tanh(x / c); 0: none
  int experts = 0;                                       // 0: a dense feed-forward
  int experts_used = 0;                                  // of them, for each token
  int expert_ffn_dim = 0;
  bool normalize_experts = true;  // the weights of those used sum to 1

  int q_dim() const { return heads * head_dim; }
  int kv_dim() const { return kv_heads * head_dim; }
  float query_scale() const {
    return 1.0f / std::sqrt(query_scalar > 0 ? query_scalar : static_cast<float>(head_dim));
  }
  int rotary_dim() const { return rope_dim > 0 ? rope_dim : head_dim; }
  bool IsSliding(int layer) const {
    return sliding_window > 0 && layer >= sliding_from &&
           (global_every == 0 || (layer + 1) % global_every != 0);
  }
  bool operator==(const ModelConfig&) const = default;
};

// Every bound that the arithmetic relies on: positive, divisible, small enough that no product of
// two of them overflows. Called by every loader.
Status Validate(const ModelConfig& config);

int64_t ParameterCount(const ModelConfig& config);        // tied weights counted once
int64_t ActiveParameterCount(const ModelConfig& config);  // that one token's products read

Result<ModelConfig> ConfigFromHfJson(std::string_view json);
// `dtype`: "float32", "bfloat16", ...; ends with a newline.
std::string ConfigToHfJson(const ModelConfig& config, std::string_view dtype);

}  // namespace weir::model
