// The shape of a model of the Llama family: RMSNorm, rotary positions, grouped-query attention,
// SwiGLU, no biases. Read from and written to the config.json that Hugging Face's tools use
// (LlamaForCausalLM), and from GGUF metadata.
//
// Threads: a value. Errors: bad input names the field and the value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::model {

struct ModelConfig {
  int vocab_size = 0;
  int dim = 0;       // width of the residual stream (hidden_size)
  int layers = 0;    // num_hidden_layers
  int heads = 0;     // query heads
  int kv_heads = 0;  // key and value heads; divides heads
  int head_dim = 0;  // even; usually dim / heads
  int ffn_dim = 0;   // intermediate_size
  int max_seq = 0;   // max_position_embeddings
  float rope_theta = 10000.0f;
  float norm_eps = 1e-5f;
  bool tied_embeddings = true;  // lm_head is the embedding table
  int bos_id = -1;              // -1: none
  int eos_id = -1;

  int q_dim() const { return heads * head_dim; }
  int kv_dim() const { return kv_heads * head_dim; }
  bool operator==(const ModelConfig&) const = default;
};

// Every bound that the arithmetic relies on: positive, divisible, small enough that no product of
// two of them overflows. Called by every loader.
Status Validate(const ModelConfig& config);

int64_t ParameterCount(const ModelConfig& config);  // tied weights counted once

Result<ModelConfig> ConfigFromHfJson(std::string_view json);
// `dtype`: "float32", "bfloat16", ...; ends with a newline.
std::string ConfigToHfJson(const ModelConfig& config, std::string_view dtype);

// The tensors of a model, under their Hugging Face names, in the order that checkpoints have them.
// Shapes are row-major [out, in]:
//   model.embed_tokens.weight                      [vocab_size, dim]
//   model.layers.I.input_layernorm.weight          [dim]
//   model.layers.I.self_attn.q_proj.weight         [q_dim, dim]
//   model.layers.I.self_attn.k_proj.weight         [kv_dim, dim]
//   model.layers.I.self_attn.v_proj.weight         [kv_dim, dim]
//   model.layers.I.self_attn.o_proj.weight         [dim, q_dim]
//   model.layers.I.post_attention_layernorm.weight [dim]
//   model.layers.I.mlp.gate_proj.weight            [ffn_dim, dim]
//   model.layers.I.mlp.up_proj.weight              [ffn_dim, dim]
//   model.layers.I.mlp.down_proj.weight            [dim, ffn_dim]
//   model.norm.weight                              [dim]
//   lm_head.weight                                 [vocab_size, dim], absent if tied
// Rotary positions follow the "half" convention: element i of a head turns with i + head_dim/2.
struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
};
std::vector<TensorSpec> TensorSpecs(const ModelConfig& config);

}  // namespace weir::model
