#include "lab/blueprint/model_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "lab/blueprint/suggest.h"

namespace weir::blueprint {

ParameterCounts CountParameters(const ModelShape& m) {
  ParameterCounts p;
  const double h = m.hidden;
  double per_attention = 0;
  if (m.latent()) {
    // Query down and up, joint key-value down with the shared positional key, up, output.
    const double q_width = m.heads * (m.plain_dim + m.rope_dim);
    per_attention = (m.q_rank > 0 ? h * m.q_rank + m.q_rank * q_width + m.q_rank : h * q_width) +
                    h * (m.kv_rank + m.rope_dim) + m.kv_rank +
                    m.kv_rank * m.heads * (m.plain_dim + m.value_dim) + m.heads * m.value_dim * h;
  } else {
    const double queries = m.heads * (m.gated_attention ? 2 : 1);
    per_attention = h * m.head_dim * (queries + m.heads + 2 * m.kv_heads);
    if (m.biases) per_attention += m.head_dim * (m.heads + 2 * m.kv_heads) + h;
  }
  p.attention = m.attention_layers * per_attention;
  if (m.qk_norm) p.norms += m.attention_layers * 2 * m.head_dim;
  p.recurrent = m.recurrent_layers * (h * m.recurrent_in_width + m.recurrent_inner * h);
  const double matrices = m.gated_ffn ? 3 : 2;
  p.dense_ffn = m.ffn_layers * (matrices * h * m.ffn + (m.biases ? m.ffn + h : 0));
  const double width = m.moe_latent > 0 ? m.moe_latent : h;
  p.shared =
      m.moe_layers * (matrices * h * m.shared_ffn + (m.moe_latent > 0 ? 2 * h * m.moe_latent : 0));
  p.router = m.moe_layers * h * m.experts;
  const double one = matrices * width * m.expert_ffn;
  p.experts = m.moe_layers * m.experts * one;
  p.experts_active = m.moe_layers * m.experts_per_token * one;
  p.embeddings = m.vocab * h + m.positions * h;
  p.head = m.tied_embeddings ? 0 : m.vocab * h;
  const double parts = m.attention_layers + m.recurrent_layers + m.ffn_layers + m.moe_layers;
  p.norms += (parts + 1) * h * (m.biases ? 2 : 1);
  return p;
}

double MeanContext(const ModelShape& m, double sequence) {
  const double causal = (sequence + 1) / 2;
  if (m.attention_layers == 0) return 0;
  if (m.window <= 0 || m.windowed_layers <= 0 || m.window >= sequence) return causal;
  // The first `window` queries see a triangle, all later ones the whole window.
  const double windowed =
      (m.window * (m.window + 1) / 2 + (sequence - m.window) * m.window) / sequence;
  const double share = m.windowed_layers / m.attention_layers;
  return share * windowed + (1 - share) * causal;
}

double ForwardFlopsPerToken(const ModelShape& m, double sequence) {
  const ParameterCounts p = CountParameters(m);
  const double weights =
      p.blocks_dense() + p.experts_active + (m.tied_embeddings ? m.vocab * m.hidden : p.head);
  const double width =
      m.latent() ? m.heads * (m.plain_dim + m.rope_dim + m.value_dim) / 2 : m.heads * m.head_dim;
  return 2 * weights + m.attention_layers * 4 * MeanContext(m, sequence) * width +
         m.recurrent_layers * 6 * m.recurrent_inner * m.recurrent_state;
}

double KvBytesPerToken(const ModelShape& m, double bytes) {
  if (m.latent()) return m.attention_layers * (m.kv_rank + m.rope_dim) * bytes;
  return m.attention_layers * 2 * m.kv_heads * m.head_dim * bytes;
}

namespace {

ModelShape Dense(std::string name, std::vector<std::string> aliases, double hidden, double layers,
                 double heads, double kv_heads, double ffn, double vocab) {
  ModelShape m;
  m.name = std::move(name);
  m.aliases = std::move(aliases);
  m.hidden = hidden;
  m.vocab = vocab;
  m.blocks = m.attention_layers = m.ffn_layers = layers;
  m.heads = heads;
  m.kv_heads = kv_heads;
  m.head_dim = hidden / heads;
  m.ffn = ffn;
  return m;
}

ModelShape Gpt(std::string name, std::vector<std::string> aliases, double hidden, double layers,
               double heads) {
  ModelShape m =
      Dense(std::move(name), std::move(aliases), hidden, layers, heads, heads, 4 * hidden, 50257);
  m.gated_ffn = false;
  m.biases = true;
  m.tied_embeddings = true;
  m.positions = 2048;
  return m;
}

ModelShape Experts(std::string name, std::vector<std::string> aliases, double hidden, double layers,
                   double heads, double kv_heads, double head_dim, double vocab, double experts,
                   double per_token, double expert_ffn) {
  ModelShape m =
      Dense(std::move(name), std::move(aliases), hidden, layers, heads, kv_heads, 0, vocab);
  m.head_dim = head_dim;
  m.ffn_layers = 0;
  m.moe_layers = layers;
  m.experts = experts;
  m.experts_per_token = per_token;
  m.expert_ffn = expert_ffn;
  return m;
}

// Mamba-2, attention and expert layers mixed; squared ReLU, so two matrices an expert.
ModelShape Hybrid(std::string name, std::vector<std::string> aliases, double hidden, double mamba,
                  double attention, double moe, double heads, double mamba_heads, double experts,
                  double per_token, double expert_ffn, double shared_ffn, double latent) {
  ModelShape m = Experts(std::move(name), std::move(aliases), hidden, moe, heads, 2, 128, 131072,
                         experts, per_token, expert_ffn);
  m.attention_layers = attention;
  m.recurrent_layers = mamba;
  m.recurrent_inner = mamba_heads * 64;
  m.recurrent_state = 128;
  m.recurrent_in_width = 2 * m.recurrent_inner + 2 * 8 * 128 + mamba_heads;
  m.shared_ffn = shared_ffn;
  m.moe_latent = latent;
  m.gated_ffn = false;
  m.blocks = mamba + attention + moe;
  return m;
}

std::vector<ModelShape> MakePresets() {
  std::vector<ModelShape> out;
  out.push_back(Dense("llama3-8b",
                      {"LLAMA3_8B", "Llama-3.1-8B", "Llama-3.1-8B-Instruct",
                       "Llama-3.1-8B-Instruct-FP8", "Llama-3-8B"},
                      4096, 32, 32, 8, 14336, 128256));
  out.push_back(Dense("llama3-70b",
                      {"LLAMA3_70B", "Llama-3.1-70B", "Llama-3.1-70B-Instruct",
                       "Llama-3.3-70B-Instruct", "Llama-3-70B"},
                      8192, 80, 64, 8, 28672, 128256));
  out.push_back(Dense("llama3-405b", {"LLAMA3.1_405B", "Llama-3.1-405B", "Llama-3.1-405B-Instruct"},
                      16384, 126, 128, 8, 53248, 128256));
  {
    ModelShape m =
        Experts("gpt-oss-120b", {"GPT OSS 120B"}, 2880, 36, 64, 8, 64, 201088, 128, 4, 2880);
    m.window = 128;
    m.stored_expert_bytes = 0.53;
    m.windowed_layers = 18;
    m.biases = true;
    out.push_back(m);
    m = Experts("gpt-oss-20b", {"GPT OSS 20B"}, 2880, 24, 64, 8, 64, 201088, 32, 4, 2880);
    m.window = 128;
    m.stored_expert_bytes = 0.53;
    m.windowed_layers = 12;
    m.biases = true;
    out.push_back(m);
  }
  {
    ModelShape m = Experts("qwen3-30b-a3b", {"Qwen3_30B_a3B", "Qwen3_30B_a3B (tokendrop)"}, 2048,
                           48, 32, 4, 128, 151936, 128, 8, 768);
    m.qk_norm = true;
    out.push_back(m);
    m = Experts("qwen3-235b-a22b", {"Qwen3-235B-A22B-FP8", "Qwen3_235B_a22B"}, 4096, 94, 64, 4, 128,
                151936, 128, 8, 1536);
    m.qk_norm = true;
    out.push_back(m);
    m = Experts("qwen3.5-397b-a17b", {"Qwen3.5-397B-A17B-FP8"}, 4096, 60, 32, 2, 256, 248320, 512,
                10, 1024);
    m.qk_norm = m.gated_attention = true;
    m.attention_layers = 15;
    m.recurrent_layers = 45;
    m.recurrent_inner = 8192;
    m.recurrent_in_width = 2 * 2048 + 2 * 8192 + 2 * 64;
    m.recurrent_state = 128;
    m.shared_ffn = 1024;
    m.assumed = true;
    out.push_back(m);
  }
  {
    ModelShape m = Dense("qwen3-8b", {"Qwen3-8B-FP8"}, 4096, 36, 32, 8, 12288, 151936);
    m.qk_norm = true;
    out.push_back(m);
    m = Dense("qwen3-32b", {"Qwen3-32B-FP8"}, 5120, 64, 64, 8, 25600, 151936);
    m.head_dim = 128;
    m.qk_norm = true;
    out.push_back(m);
  }
  {
    ModelShape m = Experts("deepseek-v3",
                           {"DeepSeek-V3", "DeepSeek-R1", "DeepSeek-R1-0528", "DeepSeek-R1-NVFP4",
                            "DeepSeek-V3.1", "DeepSeek-V3.1-NVFP4", "DeepSeek_V3"},
                           7168, 61, 128, 128, 192, 129280, 256, 8, 2048);
    m.q_rank = 1536;
    m.kv_rank = 512;
    m.rope_dim = 64;
    m.plain_dim = 128;
    m.value_dim = 128;
    m.moe_layers = 58;
    m.ffn_layers = 3;
    m.ffn = 18432;
    m.shared_ffn = 2048;
    out.push_back(m);
  }
  {
    ModelShape m = Experts("minimax-m2.5", {"MiniMax-M2.5", "MiniMax-M2"}, 3072, 62, 48, 8, 128,
                           200064, 256, 8, 1536);
    m.qk_norm = true;
    out.push_back(m);
    m = Experts("mixtral-8x7b", {"Mixtral-8x7B", "Mixtral_8x7B"}, 4096, 32, 32, 8, 128, 32000, 8, 2,
                14336);
    out.push_back(m);
  }
  out.push_back(Hybrid("nemotron-3-super", {"Nemotron_3_Super"}, 4096, 40, 8, 40, 32, 128, 512, 22,
                       2688, 5376, 1024));
  out.push_back(Hybrid("nemotron-3-ultra", {"Nemotron_3_Ultra"}, 8192, 48, 12, 48, 64, 256, 512, 22,
                       5120, 10240, 2048));
  out.back().assumed = true;
  out.push_back(Hybrid("nemotron-3-nano", {"Nemotron_3_Nano", "Nemotron_3_5_Lightning"}, 2688, 23,
                       6, 23, 32, 64, 128, 6, 1856, 3712, 0));
  out.push_back(Gpt("gpt3-175b", {"GPT-3", "gpt3"}, 12288, 96, 96));
  out.push_back(Gpt("megatron-22b", {"megatron-22B"}, 6144, 48, 64));
  out.push_back(Gpt("gpt2-xl", {"gpt2-1.5b"}, 1600, 48, 25));
  out.back().positions = 1024;
  return out;
}

}  // namespace

const std::vector<ModelShape>& ModelPresets() {
  static const std::vector<ModelShape> presets = MakePresets();
  return presets;
}

std::string PlainName(std::string_view name) {
  if (const size_t slash = name.rfind('/'); slash != std::string_view::npos)
    name.remove_prefix(slash + 1);
  std::string out;
  for (const char c : name) {
    if (c == '_' || c == '-' || c == '.' || c == ' ') continue;
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

Result<ModelShape> FindModel(std::string_view name) {
  const std::string wanted = PlainName(name);
  std::vector<std::string> known;
  for (const ModelShape& m : ModelPresets()) {
    if (PlainName(m.name) == wanted) return m;
    for (const std::string& alias : m.aliases)
      if (PlainName(alias) == wanted) return m;
    known.push_back(m.name);
  }
  return Error(Code::kNotFound, fmt::format("model \"{}\" is not known", name))
      .Hint(Suggest(name, known, "weir blueprint models", "or describe it in a TOML file"));
}

Status Validate(const ModelShape& m) {
  const auto bad = [&](std::string_view what) {
    return Error(Code::kInvalidArgument, fmt::format("model \"{}\": {}", m.name, what))
        .Hint("docs/blueprint.md lists the fields of a model file");
  };
  const struct {
    const char* name;
    double value;
  } fields[] = {{"hidden", m.hidden},         {"vocab", m.vocab},
                {"layers", m.blocks},         {"attention_layers", m.attention_layers},
                {"heads", m.heads},           {"kv_heads", m.kv_heads},
                {"head_dim", m.head_dim},     {"ffn", m.ffn},
                {"experts", m.experts},       {"experts_per_token", m.experts_per_token},
                {"expert_ffn", m.expert_ffn}, {"shared_ffn", m.shared_ffn},
                {"window", m.window}};
  for (const auto& f : fields) {
    if (!(f.value >= 0) || f.value > 1e7 || f.value != std::floor(f.value))
      return bad(
          fmt::format("{} is {}; a whole number from 0 to 10 million is needed", f.name, f.value));
  }
  if (m.hidden < 1 || m.vocab < 1 || m.blocks < 1)
    return bad("hidden, vocab and layers must be at least 1");
  if (m.attention_layers + m.recurrent_layers < 1)
    return bad("it has neither attention nor recurrent layers");
  if (m.attention_layers > 0 &&
      (m.heads < 1 || (!m.latent() && (m.kv_heads < 1 || m.head_dim < 1))))
    return bad("attention needs heads, kv_heads and head_dim");
  if (!m.latent() && m.kv_heads > 0 && std::fmod(m.heads, m.kv_heads) != 0)
    return bad(fmt::format("heads ({}) is no multiple of kv_heads ({})", m.heads, m.kv_heads));
  if (m.latent() && (m.rope_dim < 1 || m.plain_dim < 1 || m.value_dim < 1))
    return bad("latent attention needs kv_rank, rope_dim, plain_dim and value_dim");
  if (m.ffn_layers + m.moe_layers < 1) return bad("it has no feed-forward layers");
  if (m.ffn_layers > 0 && m.ffn < 1) return bad("dense feed-forward layers need ffn");
  if (m.moe_layers > 0 && (m.experts < 1 || m.experts_per_token < 1 ||
                           m.experts_per_token > m.experts || m.expert_ffn < 1))
    return bad("expert layers need experts, experts_per_token (at most experts) and expert_ffn");
  return {};
}

}  // namespace weir::blueprint
