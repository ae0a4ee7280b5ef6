// What distinguishes the families of models, as one table: a row an architecture (architecture.cc).
// Loading, writing and the forward pass read it; none of them knows a family by name.
// How to add one: docs/guides/add-an-architecture.md.
//
// A family's tensors are rules: the name in either format, and which slots of a layer it fills. A
// rule with several slots is a fused tensor: the slots lie one below the other in its rows.
//   Slot        rows x columns                    what it is
//   kEmbedding  vocab_size x dim                  one row a token
//   kQ kK kV    q_dim | kv_dim | kv_dim x dim     projections; kO: dim x q_dim
//   k*Bias      as many as its projection's rows
//   kQNorm...   head_dim                          RMS norm of each head, before the rotary turn
//   k...Norm    dim                               RMS norms: kInputNorm and kFfnNorm of what goes
//   into
//                                                 a block, kPost... of what comes out of it
//   kGate kUp   ffn_dim x dim; kDown: dim x ffn_dim
//   kRouter     experts x dim; kExpert...: the feed-forward of one expert, expert_ffn_dim wide
//   kFinalNorm  dim;  kHead: vocab_size x dim, absent if tied
// Threads: constant data and pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/config.h"

namespace weir::model {

enum class Slot : uint8_t {
  kNone,
  kEmbedding,
  kFinalNorm,
  kHead,
  kInputNorm,
  kQ,
  kK,
  kV,
  kO,
  kQBias,
  kKBias,
  kVBias,
  kOBias,
  kQNorm,
  kKNorm,
  kPostAttentionNorm,
  kFfnNorm,
  kPostFfnNorm,
  kGate,
  kUp,
  kDown,
  kRouter,
  kExpertGate,
  kExpertUp,
  kExpertDown,
};

enum class Format : uint8_t { kHf, kGguf };

enum class Present : uint8_t { kAlways, kUntied, kQkvBias, kOutputBias };

// In names, '#' stands for the layer and '@' for the expert. Without an '@' an expert's tensor
// holds all experts, one after another: [experts, rows, columns].
struct TensorRule {
  std::string_view hf, gguf;
  Slot slots[3] = {Slot::kNone, Slot::kNone, Slot::kNone};
  Present present = Present::kAlways;
};

enum class Activation : uint8_t { kSilu, kGeluTanh };

// Which layers see only a window, and where the file says so.
enum class Sliding : uint8_t {
  kNever,
  kAll,        // sliding_window, null for none
  kFromLayer,  // use_sliding_window, and then from max_window_layers on
  kPeriodic,   // all but each global_every-th
};
enum class Bias : uint8_t { kNever, kQkv, kByConfig };  // kByConfig: attention_bias, all four

struct ArchitectureRow {
  Architecture id;
  std::string_view name;      // for people; also model_type
  std::string_view hf_class;  // architectures[0]
  std::string_view gguf;      // general.architecture, and the first part of its keys
  Activation activation = Activation::kSilu;
  Bias bias = Bias::kNever;
  Sliding sliding = Sliding::kNever;
  int global_every = 0;
  bool qk_norm = false;
  bool scale_embedding = false;  // by sqrt(dim)
  bool gain_plus_one = false;    // Hugging Face's files hold each norm's gain less 1
  bool gguf_neighbours = false;  // GGUF has the rows of q and k in neighbour order (rope.h)
  bool experts = false;
  // What config.json may leave out: 0 means that it may not.
  struct Defaults {
    int vocab_size = 0, heads = 0, kv_heads = 0, head_dim = 0, max_seq = 2048;
    float rope_theta = 10000.0f, rope_theta_local = 0.0f, norm_eps = 1e-6f;
    bool tied = false;
    int query_pre_attn_scalar = 0, sliding_window = 0;
    float attention_softcap = 0.0f, logit_softcap = 0.0f;
  } defaults;
  std::span<const std::span<const TensorRule>> layer_tensors;  // groups, in the order of a file
};

std::span<const ArchitectureRow> Architectures();
const ArchitectureRow& RowOf(Architecture architecture);
// nullptr: not known. By model_type; by general.architecture (the first row that has it: those that
// share one differ by expert_count).
const ArchitectureRow* RowByHfType(std::string_view model_type);
const ArchitectureRow* RowByGguf(std::string_view gguf, bool experts);
std::string KnownArchitectures();  // "llama, mistral, ..."

bool IsVector(Slot slot);  // a norm or a bias: one dimension
bool IsNorm(Slot slot);
bool IsExpert(Slot slot);  // one for each expert
bool IsRotary(Slot slot);  // kQ, kK and their biases: rows that GGUF may have in neighbour order
int64_t RowsOf(const ModelConfig& config, Slot slot);
int64_t ColumnsOf(const ModelConfig& config, Slot slot);  // 1 for vectors

// Where a matrix or vector belongs.
struct Place {
  Slot slot = Slot::kNone;
  int layer = -1;   // -1: none
  int expert = -1;  // -1: none
  auto operator<=>(const Place&) const = default;
};

// The tensors of a model in one of the formats, in the order that checkpoints have them. Shapes are
// row-major [out, in]. Of a llama in Hugging Face's names:
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
struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<Place> places;  // what its rows are, from the top
};
std::vector<TensorSpec> TensorSpecs(const ModelConfig& config, Format format = Format::kHf);

}  // namespace weir::model
