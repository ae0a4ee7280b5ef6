#include "engine/model/architecture.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace weir::model {
namespace {

using enum Slot;

// ---- Groups of tensors -----------------------------------------------------------------------

constexpr TensorRule kInputNormRule[] = {
    {"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight", {kInputNorm}}};

constexpr TensorRule kAttention[] = {
    {"model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight", {kQ}},
    {"model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight", {kK}},
    {"model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight", {kV}},
    {"model.layers.#.self_attn.q_proj.bias", "blk.#.attn_q.bias", {kQBias}, Present::kQkvBias},
    {"model.layers.#.self_attn.k_proj.bias", "blk.#.attn_k.bias", {kKBias}, Present::kQkvBias},
    {"model.layers.#.self_attn.v_proj.bias", "blk.#.attn_v.bias", {kVBias}, Present::kQkvBias},
    {"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight", {kO}},
    {"model.layers.#.self_attn.o_proj.bias",
     "blk.#.attn_output.bias",
     {kOBias},
     Present::kOutputBias},
};

constexpr TensorRule kFusedAttention[] = {
    {"model.layers.#.self_attn.qkv_proj.weight", "blk.#.attn_qkv.weight", {kQ, kK, kV}},
    {"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight", {kO}},
};

constexpr TensorRule kHeadNorms[] = {
    {"model.layers.#.self_attn.q_norm.weight", "blk.#.attn_q_norm.weight", {kQNorm}},
    {"model.layers.#.self_attn.k_norm.weight", "blk.#.attn_k_norm.weight", {kKNorm}},
};

// The norm before the feed-forward, which Hugging Face calls by what is before it ...
constexpr TensorRule kFfnNormRule[] = {
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight", {kFfnNorm}}};

// ... but not where a norm follows the attention as well.
constexpr TensorRule kSandwichNorms[] = {
    {"model.layers.#.post_attention_layernorm.weight",
     "blk.#.post_attention_norm.weight",
     {kPostAttentionNorm}},
    {"model.layers.#.pre_feedforward_layernorm.weight", "blk.#.ffn_norm.weight", {kFfnNorm}},
    {"model.layers.#.post_feedforward_layernorm.weight",
     "blk.#.post_ffw_norm.weight",
     {kPostFfnNorm}},
};

constexpr TensorRule kMlp[] = {
    {"model.layers.#.mlp.gate_proj.weight", "blk.#.ffn_gate.weight", {kGate}},
    {"model.layers.#.mlp.up_proj.weight", "blk.#.ffn_up.weight", {kUp}},
    {"model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight", {kDown}},
};

constexpr TensorRule kFusedMlp[] = {
    {"model.layers.#.mlp.gate_up_proj.weight", "blk.#.ffn_up.weight", {kGate, kUp}},
    {"model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight", {kDown}},
};

constexpr TensorRule kMixtralExperts[] = {
    {"model.layers.#.block_sparse_moe.gate.weight", "blk.#.ffn_gate_inp.weight", {kRouter}},
    {"model.layers.#.block_sparse_moe.experts.@.w1.weight",
     "blk.#.ffn_gate_exps.weight",
     {kExpertGate}},
    {"model.layers.#.block_sparse_moe.experts.@.w3.weight",
     "blk.#.ffn_up_exps.weight",
     {kExpertUp}},
    {"model.layers.#.block_sparse_moe.experts.@.w2.weight",
     "blk.#.ffn_down_exps.weight",
     {kExpertDown}},
};

constexpr TensorRule kQwenExperts[] = {
    {"model.layers.#.mlp.gate.weight", "blk.#.ffn_gate_inp.weight", {kRouter}},
    {"model.layers.#.mlp.experts.@.gate_proj.weight", "blk.#.ffn_gate_exps.weight", {kExpertGate}},
    {"model.layers.#.mlp.experts.@.up_proj.weight", "blk.#.ffn_up_exps.weight", {kExpertUp}},
    {"model.layers.#.mlp.experts.@.down_proj.weight", "blk.#.ffn_down_exps.weight", {kExpertDown}},
};

constexpr TensorRule kFirst[] = {{"model.embed_tokens.weight", "token_embd.weight", {kEmbedding}}};
constexpr TensorRule kLast[] = {
    {"model.norm.weight", "output_norm.weight", {kFinalNorm}},
    {"lm_head.weight", "output.weight", {kHead}, Present::kUntied},
};

using Groups = const std::span<const TensorRule>;
constexpr Groups kLlamaLayer[] = {kInputNormRule, kAttention, kFfnNormRule, kMlp};
constexpr Groups kMixtralLayer[] = {kInputNormRule, kAttention, kFfnNormRule, kMixtralExperts};
constexpr Groups kQwen3Layer[] = {kInputNormRule, kAttention, kHeadNorms, kFfnNormRule, kMlp};
constexpr Groups kQwen3MoeLayer[] = {kInputNormRule, kAttention, kHeadNorms, kFfnNormRule,
                                     kQwenExperts};
constexpr Groups kGemma2Layer[] = {kInputNormRule, kAttention, kSandwichNorms, kMlp};
constexpr Groups kGemma3Layer[] = {kInputNormRule, kAttention, kHeadNorms, kSandwichNorms, kMlp};
constexpr Groups kPhi3Layer[] = {kInputNormRule, kFusedAttention, kFfnNormRule, kFusedMlp};

// ---- The table -------------------------------------------------------------------------------
// Sources: each family's report and its class in Hugging Face's transformers; for GGUF the key and
// tensor names of ggml-org/ggml, docs/gguf.md, and of gguf-py's constants.

constexpr ArchitectureRow kRows[] = {
    // Touvron et al., 2023; Grattafiori et al., "The Llama 3 Herd of Models", 2024.
    {.id = Architecture::kLlama,
     .name = "llama",
     .hf_class = "LlamaForCausalLM",
     .gguf = "llama",
     .bias = Bias::kByConfig,
     .gguf_neighbours = true,
     .layer_tensors = kLlamaLayer},
    // Jiang et al., "Mistral 7B", 2023.
    {.id = Architecture::kMistral,
     .name = "mistral",
     .hf_class = "MistralForCausalLM",
     .gguf = "llama",
     .sliding = Sliding::kAll,
     .gguf_neighbours = true,
     .layer_tensors = kLlamaLayer},
    // Jiang et al., "Mixtral of Experts", 2024.
    {.id = Architecture::kMixtral,
     .name = "mixtral",
     .hf_class = "MixtralForCausalLM",
     .gguf = "llama",
     .sliding = Sliding::kAll,
     .gguf_neighbours = true,
     .experts = true,
     .defaults = {.norm_eps = 1e-5f},
     .layer_tensors = kMixtralLayer},
    // Yang et al., "Qwen2 Technical Report", 2024, and "Qwen2.5 Technical Report", 2025.
    {.id = Architecture::kQwen2,
     .name = "qwen2",
     .hf_class = "Qwen2ForCausalLM",
     .gguf = "qwen2",
     .bias = Bias::kQkv,
     .sliding = Sliding::kFromLayer,
     .layer_tensors = kLlamaLayer},
    // Yang et al., "Qwen3 Technical Report", 2025.
    {.id = Architecture::kQwen3,
     .name = "qwen3",
     .hf_class = "Qwen3ForCausalLM",
     .gguf = "qwen3",
     .bias = Bias::kByConfig,
     .sliding = Sliding::kFromLayer,
     .qk_norm = true,
     .layer_tensors = kQwen3Layer},
    {.id = Architecture::kQwen3Moe,
     .name = "qwen3_moe",
     .hf_class = "Qwen3MoeForCausalLM",
     .gguf = "qwen3moe",
     .bias = Bias::kByConfig,
     .sliding = Sliding::kFromLayer,
     .qk_norm = true,
     .experts = true,
     .layer_tensors = kQwen3MoeLayer},
    // Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size", 2024.
    {.id = Architecture::kGemma2,
     .name = "gemma2",
     .hf_class = "Gemma2ForCausalLM",
     .gguf = "gemma2",
     .activation = Activation::kGeluTanh,
     .bias = Bias::kByConfig,
     .sliding = Sliding::kPeriodic,
     .global_every = 2,
     .scale_embedding = true,
     .gain_plus_one = true,
     .defaults = {.head_dim = 256,
                  .max_seq = 8192,
                  .tied = true,
                  .query_pre_attn_scalar = 256,
                  .sliding_window = 4096,
                  .attention_softcap = 50.0f,
                  .logit_softcap = 30.0f},
     .layer_tensors = kGemma2Layer},
    // Gemma Team, "Gemma 3 Technical Report", 2025.
    {.id = Architecture::kGemma3,
     .name = "gemma3_text",
     .hf_class = "Gemma3ForCausalLM",
     .gguf = "gemma3",
     .activation = Activation::kGeluTanh,
     .bias = Bias::kByConfig,
     .sliding = Sliding::kPeriodic,
     .global_every = 6,
     .qk_norm = true,
     .scale_embedding = true,
     .gain_plus_one = true,
     .defaults = {.vocab_size = 262208,
                  .heads = 8,
                  .kv_heads = 4,
                  .head_dim = 256,
                  .max_seq = 131072,
                  .rope_theta = 1e6f,
                  .rope_theta_local = 1e4f,
                  .tied = true,
                  .query_pre_attn_scalar = 256,
                  .sliding_window = 4096},
     .layer_tensors = kGemma3Layer},
    // Abdin et al., "Phi-3 Technical Report", 2024. Phi-4 and Phi-4-mini say "phi3" too.
    {.id = Architecture::kPhi3,
     .name = "phi3",
     .hf_class = "Phi3ForCausalLM",
     .gguf = "phi3",
     .sliding = Sliding::kAll,
     .defaults = {.norm_eps = 1e-5f},
     .layer_tensors = kPhi3Layer},
};

bool IsPresent(const ModelConfig& c, Present present) {
  switch (present) {
    case Present::kAlways:
      return true;
    case Present::kUntied:
      return !c.tied_embeddings;
    case Present::kQkvBias:
      return c.qkv_bias;
    case Present::kOutputBias:
      return c.output_bias;
  }
  return false;
}

std::string Named(std::string_view pattern, int layer, int expert) {
  std::string name;
  for (const char ch : pattern) {
    if (ch == '#') {
      name += std::to_string(layer);
    } else if (ch == '@') {
      name += std::to_string(expert);
    } else {
      name += ch;
    }
  }
  return name;
}

// The tensors of one rule in one layer: one, or one for each expert.
void Expand(const ModelConfig& c, const TensorRule& rule, Format format, int layer, int expert,
            std::vector<TensorSpec>& out) {
  const std::string_view pattern = format == Format::kHf ? rule.hf : rule.gguf;
  TensorSpec spec{Named(pattern, layer, expert), {}, {}};
  int64_t rows = 0;
  for (const Slot slot : rule.slots) {
    if (slot == kNone) continue;
    rows += RowsOf(c, slot);
    spec.places.push_back({slot, layer, expert});
  }
  const Slot first = rule.slots[0];
  spec.shape.push_back(rows);
  if (!IsVector(first)) spec.shape.push_back(ColumnsOf(c, first));
  if (IsExpert(first) && expert < 0) {
    spec.shape.insert(spec.shape.begin(), c.experts);
    spec.places.clear();
    for (int e = 0; e < c.experts; ++e) spec.places.push_back({first, layer, e});
  }
  out.push_back(std::move(spec));
}

}  // namespace

std::span<const ArchitectureRow> Architectures() { return kRows; }

const ArchitectureRow& RowOf(Architecture architecture) {
  for (const ArchitectureRow& row : kRows) {
    if (row.id == architecture) return row;
  }
  CHECK_MSG(false, "architecture {}", static_cast<int>(architecture));
}

const ArchitectureRow* RowByHfType(std::string_view model_type) {
  for (const ArchitectureRow& row : kRows) {
    if (row.name == model_type) return &row;
  }
  return nullptr;
}

const ArchitectureRow* RowByGguf(std::string_view gguf, bool experts) {
  for (const ArchitectureRow& row : kRows) {
    if (row.gguf == gguf && row.experts == experts) return &row;
  }
  return nullptr;
}

std::string KnownArchitectures() {
  std::string out;
  for (const ArchitectureRow& row : kRows) {
    out += fmt::format("{}{}", out.empty() ? "" : ", ", row.name);
  }
  return out;
}

bool IsNorm(Slot slot) {
  switch (slot) {
    case kFinalNorm:
    case kInputNorm:
    case kQNorm:
    case kKNorm:
    case kPostAttentionNorm:
    case kFfnNorm:
    case kPostFfnNorm:
      return true;
    default:
      return false;
  }
}
bool IsVector(Slot slot) {
  return IsNorm(slot) || slot == kQBias || slot == kKBias || slot == kVBias || slot == kOBias;
}
bool IsExpert(Slot slot) { return slot == kExpertGate || slot == kExpertUp || slot == kExpertDown; }
bool IsRotary(Slot slot) { return slot == kQ || slot == kK || slot == kQBias || slot == kKBias; }

int64_t RowsOf(const ModelConfig& c, Slot slot) {
  switch (slot) {
    case kNone:
      return 0;
    case kEmbedding:
    case kHead:
      return c.vocab_size;
    case kQ:
    case kQBias:
      return c.q_dim();
    case kK:
    case kV:
    case kKBias:
    case kVBias:
      return c.kv_dim();
    case kQNorm:
    case kKNorm:
      return c.head_dim;
    case kGate:
    case kUp:
      return c.ffn_dim;
    case kExpertGate:
    case kExpertUp:
      return c.expert_ffn_dim;
    case kRouter:
      return c.experts;
    case kFinalNorm:
    case kInputNorm:
    case kO:
    case kOBias:
    case kPostAttentionNorm:
    case kFfnNorm:
    case kPostFfnNorm:
    case kDown:
    case kExpertDown:
      return c.dim;
  }
  return 0;
}

int64_t ColumnsOf(const ModelConfig& c, Slot slot) {
  if (IsVector(slot)) return 1;
  if (slot == kO) return c.q_dim();
  if (slot == kDown) return c.ffn_dim;
  if (slot == kExpertDown) return c.expert_ffn_dim;
  return c.dim;
}

std::vector<TensorSpec> TensorSpecs(const ModelConfig& c, Format format) {
  std::vector<TensorSpec> specs;
  const auto group = [&](std::span<const TensorRule> rules, int layer) {
    // Experts one by one, each with all of its matrices, where a file has them so.
    const auto each = [&](const TensorRule& rule) {
      return (format == Format::kHf ? rule.hf : rule.gguf).find('@') != std::string_view::npos;
    };
    for (const TensorRule& rule : rules) {
      if (!each(rule) && IsPresent(c, rule.present)) Expand(c, rule, format, layer, -1, specs);
    }
    if (std::none_of(rules.begin(), rules.end(), each)) return;
    for (int expert = 0; expert < c.experts; ++expert) {
      for (const TensorRule& rule : rules) {
        if (each(rule)) Expand(c, rule, format, layer, expert, specs);
      }
    }
  };
  group(kFirst, -1);
  for (int layer = 0; layer < c.layers; ++layer) {
    for (const auto& rules : RowOf(c.architecture).layer_tensors) group(rules, layer);
  }
  group(kLast, -1);
  return specs;
}

}  // namespace weir::model
