// What a transformer is made of, as far as time and memory go: layer counts and widths.
//
// One shape covers dense and mixture-of-experts models, grouped-query and latent attention, sliding
// windows, and hybrids in which most mixing layers are recurrent (Mamba-2, gated linear attention).
// A layer here is a mixing part (attention or recurrent) or a feed-forward part (dense or experts)
// with its norm; published "layers" of the usual transformer have one of each.
//
// Counts are exact for the published configurations that model_shape_test.cc lists; "assumed" says
// where a vendor has not published the shape and it was inferred from published totals.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::blueprint {

struct ModelShape {
  std::string name;
  std::vector<std::string> aliases;  // names used in published tables, any case
  bool assumed = false;              // shape inferred, not published
  double hidden = 0, vocab = 0;
  bool tied_embeddings = false;
  double positions = 0;  // learned position embeddings (GPT-3); 0 with rotary ones
  bool biases = false;   // of the linear layers (GPT-3)

  double attention_layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  bool gated_attention = false;  // an output gate as wide as the queries
  bool qk_norm = false;
  double window = 0, windowed_layers = 0;  // of the attention layers, those with a sliding window
  // Latent attention (all five or none): ranks of the compressed query and key-value, and the
  // widths per head of the positional part, the plain part and the value.
  double q_rank = 0, kv_rank = 0, rope_dim = 0, plain_dim = 0, value_dim = 0;

  double recurrent_layers = 0, recurrent_inner = 0, recurrent_in_width = 0, recurrent_state = 0;

  double ffn_layers = 0, ffn = 0;
  double moe_layers = 0, experts = 0, experts_per_token = 0, expert_ffn = 0, shared_ffn = 0;
  double moe_latent = 0;  // experts work in a narrower space (0: in the hidden one)
  double stored_expert_bytes =
      0;                  // of weights published in fewer bits than asked for (0: as asked)
  bool gated_ffn = true;  // three matrices (SwiGLU) instead of two
  double blocks = 0;      // published layer count: what pipeline stages divide

  bool latent() const { return kv_rank > 0; }
  bool has_experts() const { return moe_layers > 0; }
};

// Parameters by kind, over the whole model.
struct ParameterCounts {
  double attention = 0, recurrent = 0, dense_ffn = 0, shared = 0, router = 0;
  double experts = 0;         // all of them
  double experts_active = 0;  // those that one token meets
  double embeddings = 0, head = 0, norms = 0;
  double total() const {
    return attention + recurrent + dense_ffn + shared + router + experts + embeddings + head +
           norms;
  }
  double active() const { return total() - experts + experts_active; }
  // What every token meets in the blocks, without experts, embeddings and head.
  double blocks_dense() const { return attention + recurrent + dense_ffn + shared + router; }
};
ParameterCounts CountParameters(const ModelShape& m);

// Floating-point operations of one forward pass per token: 2 for each active weight (embeddings are
// looked up, not multiplied) plus attention over `context` keys on average, causal.
double ForwardFlopsPerToken(const ModelShape& m, double sequence);
// Mean number of keys that a query of a causal sequence meets, over the attention layers.
double MeanContext(const ModelShape& m, double sequence);
// Bytes of key-value cache per token of context, all layers, before any sharding; `bytes` per
// element. Windowed layers are counted in full here; MeanContext tells how much of it is read.
double KvBytesPerToken(const ModelShape& m, double bytes);

const std::vector<ModelShape>& ModelPresets();
// By name or alias, ignoring case, an owner before '/', and '_', '-', '.', ' ' alike.
// kNotFound with the nearest names offered.
Result<ModelShape> FindModel(std::string_view name);
// What makes a shape impossible, in one sentence with the field's name.
Status Validate(const ModelShape& m);

// Names compared as people write them: lower case, without an owner and without '_', '-', '.', ' '.
std::string PlainName(std::string_view name);

}  // namespace weir::blueprint
