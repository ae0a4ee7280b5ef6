#include "serve_model.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <map>
#include <vector>

#include "base/random.h"
#include "engine/model/dtype.h"
#include "engine/model/gguf.h"
#include "io/files.h"

namespace weir::bench {
namespace {

using model::DType;

constexpr int64_t kDim = 2048, kLayers = 22, kHeads = 32, kKvHeads = 4, kFfn = 5632, kVocab = 32000;
constexpr int64_t kKv = kDim / kHeads * kKvHeads;
constexpr double kWeight = 0.02, kNearlyZero = 1e-5;  // size of a weight

void PutHalf(std::byte* at, double value) {
  const uint16_t half = model::FloatToHalf(static_cast<float>(value));
  std::memcpy(at, &half, sizeof half);
}

// A stored matrix of random weights of about `size`: random codes under scales that give that size.
std::vector<std::byte> RandomMatrix(DType type, int64_t elements, double size, uint64_t seed) {
  Random random(seed);
  std::vector<std::byte> data(static_cast<size_t>(*model::BytesOf(type, elements)));
  size_t at = 0;
  for (; at + 8 <= data.size(); at += 8) {
    const uint64_t word = random.Next();
    std::memcpy(&data[at], &word, 8);
  }
  const auto block = static_cast<size_t>(model::BlockBytes(type));
  for (size_t b = 0; b + block <= data.size(); b += block) {
    switch (type) {
      case DType::kQ8_0:
        PutHalf(&data[b], size / 73);
        break;  // the spread of random int8
      case DType::kQ4_0:
        PutHalf(&data[b], size / 4.6);
        break;            // of a nibble
      case DType::kQ4_K:  // times that of 6-bit scales
        PutHalf(&data[b], size / (31 * 4.6));
        PutHalf(&data[b + 2], 7.5 * size / (31 * 4.6));
        break;
      case DType::kQ6_K:
        PutHalf(&data[b + 208], size / (73 * 18.5));
        break;
      case DType::kBF16: {
        const uint16_t half = model::FloatToBfloat(static_cast<float>(size * random.Normal()));
        std::memcpy(&data[b], &half, sizeof half);
        break;
      }
      default:
        break;
    }
  }
  return data;
}

}  // namespace

Result<std::string> BenchModel(const std::string& folder, const std::string& type) {
  const std::map<std::string, std::pair<DType, uint32_t>> types = {{"bf16", {DType::kBF16, 32}},
                                                                   {"q8_0", {DType::kQ8_0, 7}},
                                                                   {"q4_0", {DType::kQ4_0, 2}},
                                                                   {"q4_k_m", {DType::kQ4_K, 15}}};
  const auto found = types.find(type);
  if (found == types.end()) {
    return Error(Code::kInvalidArgument, fmt::format("no type {}", type))
        .Hint("bf16, q8_0, q4_0 or q4_k_m");
  }
  std::string path = fmt::format("{}/weir-bench-1b-{}.gguf", folder, type);
  if (io::FileExists(path)) return path;
  const auto [plain, file_type] = found->second;
  // As llama.cpp's own quantizer mixes them.
  const DType fine = plain == DType::kQ4_K || plain == DType::kQ4_0 ? DType::kQ6_K : plain;
  model::GgufWriter writer;
  writer.String("general.architecture", "llama");
  writer.String("general.name", "weir-bench-1b");
  writer.U32("general.file_type", file_type);
  writer.U32("llama.block_count", kLayers);
  writer.U32("llama.context_length", 4096);
  writer.U32("llama.embedding_length", kDim);
  writer.U32("llama.feed_forward_length", kFfn);
  writer.U32("llama.attention.head_count", kHeads);
  writer.U32("llama.attention.head_count_kv", kKvHeads);
  writer.U32("llama.rope.dimension_count", kDim / kHeads);
  writer.F32("llama.rope.freq_base", 10000.0f);
  writer.F32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  writer.U32("llama.vocab_size", kVocab);
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> kinds = {2, 3, 3};
  for (int i = 0; i < 256; ++i) {
    tokens.push_back(fmt::format("<0x{:02X}>", i));
    kinds.push_back(6);
  }
  // Words of letters, each its own, so that both programs find them in text.
  for (int64_t i = static_cast<int64_t>(tokens.size()); i < kVocab; ++i) {
    std::string word = "\xE2\x96\x81";
    for (int64_t n = i; n > 0; n /= 26) word += static_cast<char>('a' + n % 26);
    tokens.push_back(word);
    kinds.push_back(1);
  }
  std::vector<float> scores;
  for (int64_t i = 0; i < kVocab; ++i) scores.push_back(-static_cast<float>(i));
  writer.String("tokenizer.ggml.model", "llama");
  writer.Strings("tokenizer.ggml.tokens", tokens);
  writer.F32s("tokenizer.ggml.scores", scores);
  writer.I32s("tokenizer.ggml.token_type", kinds);
  writer.U32("tokenizer.ggml.bos_token_id", 1);
  writer.U32("tokenizer.ggml.eos_token_id", 2);
  writer.U32("tokenizer.ggml.unknown_token_id", 0);

  std::map<std::string, std::vector<std::byte>> kept;  // by shape, type and size of weights
  uint64_t seed = 1;
  const auto matrix = [&](const std::string& name, DType t, int64_t out, int64_t in, double size) {
    std::vector<std::byte>& data =
        kept[fmt::format("{} {} {} {}", static_cast<int>(t), out, in,
                         name.starts_with("blk") ? size : 1.0 + static_cast<double>(seed))];
    if (data.empty()) data = RandomMatrix(t, out * in, size, seed++);
    writer.Tensor({name, t, {out, in}, data});
  };
  const std::vector<float> ones(kDim, 1.0f);
  const auto norm = [&](const std::string& name) {
    writer.Tensor({name, DType::kF32, {kDim}, std::as_bytes(std::span(ones))});
  };
  matrix("token_embd.weight", plain, kVocab, kDim, kWeight);
  for (int64_t l = 0; l < kLayers; ++l) {
    const auto name = [l](const char* part) { return fmt::format("blk.{}.{}.weight", l, part); };
    const DType mixed = plain == DType::kQ4_K && l % 2 == 0 ? DType::kQ6_K : plain;
    norm(name("attn_norm"));
    matrix(name("attn_q"), plain, kDim, kDim, kWeight);
    matrix(name("attn_k"), plain, kKv, kDim, kWeight);
    matrix(name("attn_v"), mixed, kKv, kDim, kWeight);
    matrix(name("attn_output"), plain, kDim, kDim, kNearlyZero);
    norm(name("ffn_norm"));
    matrix(name("ffn_gate"), plain, kFfn, kDim, kWeight);
    matrix(name("ffn_up"), plain, kFfn, kDim, kWeight);
    matrix(name("ffn_down"), mixed, kDim, kFfn, kNearlyZero);
  }
  norm("output_norm.weight");
  matrix("output.weight", fine, kVocab, kDim, kWeight);
  TRY(writer.Write(path));
  return path;
}

}  // namespace weir::bench
