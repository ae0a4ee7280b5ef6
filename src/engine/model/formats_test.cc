// Round trips and refusals of the formats: dtypes, config.json, safetensors, GGUF.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>

#include "base/random.h"
#include "engine/model/architecture.h"
#include "engine/model/config.h"
#include "engine/model/dtype.h"
#include "engine/model/generation.h"
#include "engine/model/gguf.h"
#include "engine/model/random_model.h"
#include "engine/model/rope.h"
#include "engine/model/safetensors.h"

namespace weir::model {
namespace {

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(DType, HalfRoundsAsTheDefinitionOnEveryHalfAndBetween) {
  for (uint32_t h = 0; h < 0x7C00; ++h) {  // every finite non-negative half
    const float x = HalfToFloat(static_cast<uint16_t>(h));
    // By hand: sign, 5 bits of exponent, 10 of fraction.
    const int e = static_cast<int>(h >> 10);
    const double expected =
        e == 0 ? std::ldexp(h & 0x3FF, -24) : std::ldexp(1024.0 + (h & 0x3FF), e - 25);
    ASSERT_EQ(static_cast<double>(x), expected);
    ASSERT_EQ(FloatToHalf(x), h);
    ASSERT_EQ(FloatToHalf(-x), h | 0x8000);
    if (h + 1 < 0x7C00) {
      const float up = HalfToFloat(static_cast<uint16_t>(h + 1));
      const float middle = (x + up) / 2;  // exact in f32
      ASSERT_EQ(FloatToHalf(middle), h + (h & 1)) << "ties go to even";
      ASSERT_EQ(FloatToHalf(std::nextafter(middle, 0.0f)), h);
      ASSERT_EQ(FloatToHalf(std::nextafter(middle, 1e9f)), h + 1);
    }
  }
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(FloatToHalf(65519.9f), 0x7BFF);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7C00);
  EXPECT_EQ(HalfToFloat(0xFC00), -infinity);
  EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(std::nanf("")))));
}

TEST(DType, BfloatRoundsToNearestEven) {
  EXPECT_EQ(FloatToBfloat(1.0f), 0x3F80);
  EXPECT_EQ(FloatToBfloat(1.00390625f), 0x3F80);  // halfway, down to even
  EXPECT_EQ(FloatToBfloat(1.01171875f), 0x3F82);  // halfway, up to even
  EXPECT_TRUE(std::isnan(BfloatToFloat(FloatToBfloat(std::nanf("")))));
}

TEST(DType, QuantizingToQ8KeepsEveryValueWithinHalfAStep) {
  Random random(7);
  std::vector<float> x(320), back(320);
  for (float& v : x) v = static_cast<float>(random.Normal());
  std::vector<std::byte> packed(static_cast<size_t>(*BytesOf(DType::kQ8_0, 320)));
  FromFloat(x, DType::kQ8_0, packed);
  ToFloat(DType::kQ8_0, packed, back);
  for (size_t block = 0; block < x.size(); block += kernels::kSmallBlock) {
    float largest = 0;
    for (size_t i = block; i < block + kernels::kSmallBlock; ++i)
      largest = std::max(largest, std::fabs(x[i]));
    // Half a step, and the rounding of the scale to f16 (2^-11) on up to 127 steps.
    const float bound = largest / 127 * (0.5f + 127 * 0x1p-11f);
    for (size_t i = block; i < block + kernels::kSmallBlock; ++i) ASSERT_NEAR(back[i], x[i], bound);
  }
}

ModelConfig SmallConfig() {
  return {.vocab_size = 300,
          .dim = 64,
          .layers = 2,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 16,
          .ffn_dim = 96,
          .max_seq = 128,
          .rope_theta = 500000.0f,
          .norm_eps = 1e-5f,
          .tied_embeddings = false,
          .bos_id = 0,
          .eos_id = 1};
}

TEST(Config, JsonGivesTheSameConfigBack) {
  const ModelConfig config = SmallConfig();
  const Result<ModelConfig> back = ConfigFromHfJson(ConfigToHfJson(config, "float32"));
  ASSERT_TRUE(back) << back.error().ToString();
  EXPECT_EQ(*back, config);
  // Two embeddings, per layer 2 norms, q and o, k and v, three of the feed-forward, a last norm.
  EXPECT_EQ(ParameterCount(config),
            2 * 300 * 64 + 2 * (2 * 64 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64) + 64);
}

// The beginning of a small shape.
#define SHAPE                                                                            \
  R"({"vocab_size":100,"hidden_size":64,"num_hidden_layers":1,"num_attention_heads":4,)" \
  R"("intermediate_size":8)"

// What the tables of architecture.h leave to config.json comes back from it, in every family.
TEST(Config, JsonOfEveryArchitectureGivesTheSameConfigBack) {
  for (const ArchitectureRow& row : Architectures()) {
    SCOPED_TRACE(row.name);
    ModelConfig config = TinyConfig(row.id);
    const auto check = [&] {
      ASSERT_TRUE(Validate(config)) << Validate(config).error().ToString();
      const Result<ModelConfig> back = ConfigFromHfJson(ConfigToHfJson(config, "float32"));
      ASSERT_TRUE(back) << back.error().ToString();
      EXPECT_EQ(*back, config) << ConfigToHfJson(config, "float32");
    };
    check();
    for (const RopeKind kind : {RopeKind::kLinear, RopeKind::kYarn, RopeKind::kLlama3}) {
      config.rope = {.kind = kind, .factor = 4, .original_seq = kind == RopeKind::kLinear ? 0 : 64};
      check();
    }
    config.rope.kind = RopeKind::kDynamic;
    check();
  }
}

// As published, shortened to what decides: the numbers are those of the real files.
TEST(Config, RealFilesAreReadAsTheirFamiliesMeanThem) {
  const auto read = [](const char* json) {
    const Result<ModelConfig> config = ConfigFromHfJson(json);
    EXPECT_TRUE(config) << config.error().ToString();
    return config ? *config : ModelConfig();
  };
  // Gemma 3 4B leaves most of its text model's shape to the defaults.
  ModelConfig c = read(R"({"architectures":["Gemma3ForConditionalGeneration"],"model_type":"gemma3",
    "eos_token_id":[1,106],"text_config":{"hidden_size":2560,"intermediate_size":10240,
    "model_type":"gemma3_text","num_hidden_layers":34,"rope_scaling":{"factor":8.0,
    "rope_type":"linear"},"sliding_window":1024},"vision_config":{"hidden_size":1152}})");
  EXPECT_EQ(c.vocab_size, 262208);
  EXPECT_EQ(c.heads * c.head_dim, 2048);
  EXPECT_EQ(c.kv_heads, 4);
  EXPECT_EQ(c.eos_id, 1);
  EXPECT_TRUE(c.tied_embeddings);
  EXPECT_FLOAT_EQ(c.rope_theta, 1e6f);
  EXPECT_FLOAT_EQ(c.rope_theta_local, 1e4f);
  EXPECT_TRUE(c.IsSliding(4));
  EXPECT_FALSE(c.IsSliding(5));
  // Gemma 2 27B divides by the square root of 144, not of its head of 128.
  c = read(R"({"model_type":"gemma2","hidden_size":4608,"intermediate_size":36864,
    "num_hidden_layers":46,"num_attention_heads":32,"num_key_value_heads":16,"head_dim":128,
    "vocab_size":256000,"query_pre_attn_scalar":144,"attn_logit_softcapping":50.0,
    "final_logit_softcapping":30.0,"hidden_act":"gelu_pytorch_tanh","sliding_window":4096})");
  EXPECT_FLOAT_EQ(c.query_scale(), 1.0f / 12);
  EXPECT_TRUE(c.IsSliding(0));
  EXPECT_FALSE(c.IsSliding(1));
  EXPECT_FLOAT_EQ(c.attention_softcap, 50);
  // Llama 3.1 8B.
  c = read(R"({"model_type":"llama","hidden_size":4096,"intermediate_size":14336,
    "num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"vocab_size":128256,
    "max_position_embeddings":131072,"rope_theta":500000.0,"rms_norm_eps":1e-05,
    "rope_scaling":{"factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
    "original_max_position_embeddings":8192,"rope_type":"llama3"}})");
  EXPECT_EQ(c.rope.kind, RopeKind::kLlama3);
  EXPECT_EQ(c.max_seq, 131072);
  EXPECT_NEAR(static_cast<double>(ParameterCount(c)), 8.03e9, 0.01e9);
  // Phi-3-mini-128k.
  std::string factors = "[1.0";
  for (int i = 1; i < 48; ++i) factors += ",2.5";
  factors += "]";
  const std::string phi = R"({"model_type":"phi3","hidden_size":3072,"intermediate_size":8192,
    "num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":32,"vocab_size":32064,
    "max_position_embeddings":131072,"original_max_position_embeddings":4096,
    "sliding_window":262144,"rope_scaling":{"type":"longrope","short_factor":)" +
                          factors + R"(,"long_factor":)" + factors + "}}";
  c = read(phi.c_str());
  EXPECT_EQ(c.rope.original_seq, 4096);
  EXPECT_NEAR(RopeFrequenciesOf(c, Sight::kGlobal, 131072).magnitude, 1.1902, 1e-4);
  // Qwen3-30B-A3B.
  c = read(R"({"model_type":"qwen3_moe","hidden_size":2048,"intermediate_size":6144,
    "num_hidden_layers":48,"num_attention_heads":32,"num_key_value_heads":4,"head_dim":128,
    "vocab_size":151936,"moe_intermediate_size":768,"num_experts":128,"num_experts_per_tok":8,
    "norm_topk_prob":true,"decoder_sparse_step":1,"mlp_only_layers":[],"sliding_window":null,
    "use_sliding_window":false,"max_position_embeddings":40960,"rope_theta":1000000.0})");
  EXPECT_NEAR(static_cast<double>(ParameterCount(c)), 30.5e9, 0.1e9);
  EXPECT_NEAR(static_cast<double>(ActiveParameterCount(c)), 3.04e9, 0.1e9);
  // Qwen2.5 with the YaRN that its page tells one to add: 32768 positions become 131072.
  c = read(R"({"model_type":"qwen2","hidden_size":3584,"intermediate_size":18944,
    "num_hidden_layers":28,"num_attention_heads":28,"num_key_value_heads":4,"vocab_size":152064,
    "max_position_embeddings":32768,"sliding_window":131072,"use_sliding_window":false,
    "rope_scaling":{"factor":4.0,"original_max_position_embeddings":32768,"type":"yarn"}})");
  EXPECT_EQ(c.max_seq, 131072);
  EXPECT_EQ(c.sliding_window, 0);
  EXPECT_TRUE(c.qkv_bias);
  EXPECT_FALSE(c.output_bias);
}

TEST(Generation, DefaultsAndWhatEndsAnAnswerAreRead) {
  const auto read = GenerationFromJson(
      R"({"temperature":0.6,"top_k":20,"top_p":0.95,"eos_token_id":[5,7],"do_sample":true})");
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_FLOAT_EQ(*read->temperature, 0.6f);
  EXPECT_EQ(*read->top_k, 20);
  EXPECT_EQ(read->eos_ids, (std::vector<int32_t>{5, 7}));
  EXPECT_FALSE(read->min_p);
  for (const auto& [json, expected] :
       {std::pair(R"({"top_p":2})", "top_p is not in 0 to 1"),
        std::pair(R"({"eos_token_id":"x"})", "eos_token_id is not"),
        std::pair(R"({"temperature":[]})", "temperature is not a number"),
        std::pair("[]", "object")}) {
    const auto bad = GenerationFromJson(json);
    ASSERT_FALSE(bad) << json;
    EXPECT_NE(bad.error().ToString().find(expected), std::string::npos) << bad.error().ToString();
  }
}

TEST(SafetensorsIndex, NamesItsFilesOrIsRefused) {
  const auto files = ParseSafetensorsIndex(
      R"({"metadata":{"total_size":1},"weight_map":{"a":"m-2.safetensors","b":"m-1.safetensors","c":"m-2.safetensors"}})");
  ASSERT_TRUE(files) << files.error().ToString();
  EXPECT_EQ(*files, (std::vector<std::string>{"m-1.safetensors", "m-2.safetensors"}));
  for (const auto& [json, expected] :
       {std::pair("{", "not a JSON object"), std::pair("{}", "weight_map is missing"),
        std::pair(R"({"weight_map":{}})", "weight_map is empty"),
        std::pair(R"({"weight_map":{"a":1}})", "tensor a has no plain file name"),
        std::pair(R"({"weight_map":{"a":"../b"}})", "tensor a has no plain file name"),
        std::pair(R"({"weight_map":{"a":"/etc/passwd"}})", "tensor a has no plain file name")}) {
    const auto bad = ParseSafetensorsIndex(json);
    ASSERT_FALSE(bad) << json;
    EXPECT_NE(bad.error().ToString().find(expected), std::string::npos) << bad.error().ToString();
  }
}

TEST(Config, ErrorsNameTheField) {
  const struct {
    const char* json;
    const char* expected;
  } rows[] = {
      {"{", "not a JSON object"},
      {R"({"model_type":"gpt2"})", "model_type is \"gpt2\""},
      {R"({"vocab_size":"x"})", "vocab_size is \"x\", not an integer"},
      {R"({"vocab_size":1e99})", "vocab_size"},
      {R"({"vocab_size":99999999999999999999})", "vocab_size"},
      {R"({"vocab_size":-1})", "vocab_size is -1"},
      {R"({"vocab_size":100})", "hidden_size is missing"},
      {R"({"vocab_size":100,"hidden_size":64,"num_hidden_layers":1,"num_attention_heads":0,"intermediate_size":8})",
       "heads is 0"},
      {R"({"vocab_size":100,"hidden_size":64,"num_hidden_layers":1,"num_attention_heads":4,"num_key_value_heads":3,"intermediate_size":8})",
       "kv_heads is 3"},
      {SHAPE R"(,"rope_scaling":{"rope_type":"llama3"}})", "rope_scaling.factor is missing"},
      {SHAPE R"(,"rope_scaling":{"rope_type":"mrope","factor":2}})",
       "rope_scaling.rope_type is \"mrope\""},
      {SHAPE R"(,"rope_scaling":{"rope_type":"yarn","factor":1e30}})", "rope factor"},
      {SHAPE R"(,"rope_scaling":{"rope_type":"linear","factor":-2}})", "rope factor is -2"},
      {SHAPE R"(,"rope_scaling":{"type":"longrope","long_factor":[1],"short_factor":[1]}})",
       "there are 8 pairs"},
      {SHAPE R"(,"rope_scaling":[]})", "rope_scaling is not an object"},
      {SHAPE R"(,"partial_rotary_factor":0})", "partial_rotary_factor"},
      {SHAPE R"(,"sliding_window":4096})", "sliding_window is not offered"},
      {SHAPE R"(,"mlp_bias":true})", "mlp_bias"},
      {SHAPE R"(,"hidden_act":"relu"})", "hidden_act is \"relu\""},
      {SHAPE R"(,"quantization_config":{"quant_method":"gptq"}})", "quantization_config"},
      {SHAPE R"(,"model_type":"phi3","attention_bias":true})", "attention_bias"},
      {SHAPE R"(,"model_type":"gemma2","layer_types":["full_attention"]})", "layer_types has"},
      {SHAPE R"(,"model_type":"gemma2","query_pre_attn_scalar":-1})", "query_pre_attn_scalar"},
      {SHAPE R"(,"model_type":"mixtral"})", "num_local_experts is missing"},
      {SHAPE R"(,"model_type":"mixtral","num_local_experts":4,"num_experts_per_tok":5})",
       "experts_used is 5, but must be 1 to 4"},
      {SHAPE
       R"(,"model_type":"qwen3_moe","num_experts":4,"num_experts_per_tok":2,"mlp_only_layers":[1]})",
       "mlp_only_layers"},
  };
  for (const auto& row : rows) {
    const Result<ModelConfig> result = ConfigFromHfJson(row.json);
    ASSERT_FALSE(result) << row.json;
    EXPECT_NE(result.error().ToString().find(row.expected), std::string::npos)
        << row.json << " gave " << result.error().ToString();
  }
}

std::string WithLength(const std::string& header, const std::string& data = "") {
  const uint64_t n = header.size();
  return std::string(reinterpret_cast<const char*>(&n), 8) + header + data;
}

TEST(Safetensors, WhatIsWrittenIsRead) {
  const std::string path = testing::TempDir() + fmt::format("weir-st-{}.safetensors", getpid());
  std::vector<float> a = {1, 2, 3, 4, 5, 6};
  std::vector<uint16_t> b = {0x3F80, 0x4000};
  const std::vector<TensorView> tensors = {
      {"z.weight", DType::kF32, {2, 3}, std::as_bytes(std::span(a))},
      {"empty", DType::kF32, {0, 7}, {}},
      {"a.bias", DType::kBF16, {2}, std::as_bytes(std::span(b))}};
  ASSERT_TRUE(WriteSafetensors(path, tensors, {{"format", "pt"}}));
  const Result<SafetensorsFile> file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file) << file.error().ToString();
  EXPECT_EQ(file->metadata().at("format"), "pt");
  for (const TensorView& tensor : tensors) {
    const TensorView* found = file->Find(tensor.name);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->shape, tensor.shape);
    EXPECT_EQ(found->type, tensor.type);
    ASSERT_EQ(found->data.size(), tensor.data.size());
    EXPECT_TRUE(std::equal(found->data.begin(), found->data.end(), tensor.data.begin()));
  }
  EXPECT_EQ(file->Find("b"), nullptr);
  std::remove(path.c_str());
}

TEST(Safetensors, RefusesWhatDoesNotFitAndNamesTheTensor) {
  const struct {
    std::string bytes;
    const char* expected;
  } rows[] = {
      {"", "too short"},
      {"\x01\x02", "too short"},
      {std::string(8, '\xFF'), "claims 18446744073709551615 bytes"},
      {WithLength("{}", "x"), "1 bytes of data, but the tensors cover 0"},
      {WithLength("[1]"), "not a JSON object"},
      {WithLength(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "1234"),
       "tensor w has data_offsets [0, 8], outside of 4"},
      {WithLength(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "12345678"),
       "tensor w has 8 bytes of data, but its shape needs 12"},
      {WithLength(R"({"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})",
                  "12345678"),
       "beyond 2^63"},
      {WithLength(R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}})", "12345678"),
       "malformed shape"},
      {WithLength(R"({"w":{"dtype":"I8","shape":[8],"data_offsets":[0,8]}})", "12345678"),
       "dtype I8"},
      {WithLength(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                  R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                  "1234"),
       "tensor b overlaps"},
  };
  for (const auto& row : rows) {
    const Result<SafetensorsFile> result =
        SafetensorsFile::Parse(Bytes(row.bytes), "x.safetensors");
    ASSERT_FALSE(result) << row.expected;
    EXPECT_NE(result.error().ToString().find(row.expected), std::string::npos)
        << result.error().ToString();
    EXPECT_NE(result.error().ToString().find("x.safetensors"), std::string::npos);
  }
}

GgufWriter SampleGguf(const std::vector<float>& data, const std::vector<std::byte>& q8) {
  GgufWriter writer;
  writer.String("general.architecture", "llama");
  writer.U32("llama.block_count", 3);
  writer.F32("llama.eps", 0.5f);
  writer.Bool("yes", true);
  writer.Strings("names", std::vector<std::string>{"a", "", "ccc"});
  writer.I32s("ints", std::vector<int32_t>{-1, 2});
  writer.F32s("floats", std::vector<float>{1.5f});
  writer.Tensor({"w", DType::kF32, {2, 3}, std::as_bytes(std::span(data))});
  writer.Tensor({"q", DType::kQ8_0, {2, 32}, q8});
  return writer;
}

TEST(Gguf, WhatIsWrittenIsRead) {
  const std::string path = testing::TempDir() + fmt::format("weir-{}.gguf", getpid());
  const std::vector<float> data = {1, 2, 3, 4, 5, 6};
  const std::vector<std::byte> q8(68, std::byte{1});
  ASSERT_TRUE(SampleGguf(data, q8).Write(path));
  const Result<GgufFile> file = GgufFile::Open(path);
  ASSERT_TRUE(file) << file.error().ToString();
  EXPECT_EQ(**file->String("general.architecture"), "llama");
  EXPECT_EQ(**file->Int("llama.block_count"), 3);
  EXPECT_EQ(**file->Number("llama.eps"), 0.5);
  EXPECT_EQ(**file->Number("llama.block_count"), 3.0);
  EXPECT_EQ(**file->Bool("yes"), true);
  EXPECT_EQ((*file->Array("names"))->strings, (std::vector<std::string_view>{"a", "", "ccc"}));
  EXPECT_EQ((*file->Array("ints"))->IntAt(0), -1);
  EXPECT_EQ((*file->Array("floats"))->NumberAt(0), 1.5);
  EXPECT_FALSE(*file->Int("absent"));
  EXPECT_NE(file->Int("yes").error().message().find("yes is not an integer"), std::string::npos);
  const TensorView* w = file->Find("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(std::memcmp(w->data.data(), data.data(), 24), 0);
  ASSERT_NE(file->Find("q"), nullptr);
  EXPECT_EQ(file->Find("q")->data.size(), 68u);
  std::remove(path.c_str());
}

// Every prefix of a good file, and every good file with one byte changed, is read or refused; what
// is read stays inside the bytes (the address sanitizer watches).
TEST(Gguf, TruncatedOrDamagedFilesAreReadWithinTheirBytesOrRefused) {
  const std::vector<float> data = {1, 2, 3, 4, 5, 6};
  const std::vector<std::byte> q8(68, std::byte{1});
  const std::string path = testing::TempDir() + fmt::format("weir-damage-{}.gguf", getpid());
  ASSERT_TRUE(SampleGguf(data, q8).Write(path));
  std::ifstream in(path, std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  std::remove(path.c_str());
  size_t refused = 0;
  const auto check = [&](const std::string& text) {
    const std::vector<std::byte> exact(Bytes(text).begin(), Bytes(text).end());
    const Result<GgufFile> file = GgufFile::Parse(exact, "x.gguf");
    if (!file) {
      ++refused;
      return;
    }
    for (const TensorView& tensor : file->tensors()) {
      ASSERT_GE(tensor.data.data(), exact.data());
      ASSERT_LE(tensor.data.data() + tensor.data.size(), exact.data() + exact.size());
    }
  };
  for (size_t n = 0; n + 28 < good.size(); ++n) check(good.substr(0, n));
  EXPECT_EQ(refused, good.size() - 28) << "a file cut before its last tensor's end was accepted";
  Random random(5);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(random.Below(256));
    check(bad);
  }
}

TEST(Gguf, AbsurdCountsAreRefusedByName) {
  const auto file = [](uint64_t tensors, uint64_t metadata, const std::string& rest) {
    std::string bytes("GGUF\x03\0\0\0", 8);
    bytes.append(reinterpret_cast<const char*>(&tensors), 8);
    bytes.append(reinterpret_cast<const char*>(&metadata), 8);
    return bytes + rest;
  };
  const std::string key("\x01\0\0\0\0\0\0\0k", 9);
  const struct {
    std::string bytes;
    const char* expected;
  } rows[] = {
      {file(1ull << 60, 0, std::string(64, '\0')), "tensor_count is 1152921504606846976"},
      {file(0, ~0ull, std::string(64, '\0')), "metadata_kv_count is 18446744073709551615"},
      {file(0, 1, key + std::string("\x08\0\0\0", 4) + std::string(8, '\x7F')), "k claims"},
      {file(0, 1, key + std::string("\x09\0\0\0\x05\0\0\0", 8) + std::string(8, '\x7F')),
       "k claims 9187201950435737471 elements"},
      {file(0, 1, key + std::string("\x09\0\0\0\x09\0\0\0", 8) + std::string(8, '\0')),
       "array of arrays"},
      {file(0, 1, key + std::string("\x63\0\0\0", 4) + "x"), "type 99"},
      {std::string("GGUF\0\0\0\x03", 8), "version"},
      {"GGML", "does not begin"},
  };
  for (const auto& row : rows) {
    const Result<GgufFile> result = GgufFile::Parse(Bytes(row.bytes), "x.gguf");
    ASSERT_FALSE(result) << row.expected;
    EXPECT_NE(result.error().ToString().find(row.expected), std::string::npos)
        << result.error().ToString();
  }
}

}  // namespace
}  // namespace weir::model
