// For the tests of this folder: small models, and the greedy answer by full recomputation.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "engine/model/random_model.h"
#include "engine/model/weights.h"
#include "engine/serve/forward.h"
#include "engine/serve/reference_forward.h"
#include "engine/serve/sampler.h"
#include "io/files.h"

namespace weir::serve {

inline std::shared_ptr<const model::Model> RandomModel(uint64_t seed = 1,
                                                       model::DType type = model::DType::kF32,
                                                       int max_seq = 256) {
  const io::TempDir dir = *io::TempDir::Create();
  const model::ModelConfig config{.vocab_size = 300,
                                  .dim = 64,
                                  .layers = 2,
                                  .heads = 8,
                                  .kv_heads = 2,
                                  .head_dim = 8,
                                  .ffn_dim = 96,
                                  .max_seq = max_seq,
                                  .tied_embeddings = false,
                                  .bos_id = 0,
                                  .eos_id = 0};
  const Status written = model::WriteRandomModel(dir.path(), config, seed, type);
  EXPECT_TRUE(written) << written.error().ToString();
  return *model::Model::Load(dir.path());
}

// nullptr without the shared data.
inline std::shared_ptr<const model::Model> Stories() {
  const char* shared = std::getenv("WEIR_SHARED");
  const std::string path =
      std::string(shared == nullptr ? "" : shared) + "/models/stories260K/stories260K-f32.gguf";
  return io::FileExists(path) ? *model::Model::Load(path) : nullptr;
}

// The obvious twin of serving: the whole sequence computed anew for every token.
inline std::vector<int32_t> GreedyByRecomputation(const model::Model& model,
                                                  std::vector<int32_t> tokens, int n) {
  std::vector<int32_t> out;
  const auto vocabulary = static_cast<size_t>(model.config().vocab_size);
  Reference reference(model);
  for (int i = 0; i < n; ++i) {
    const std::vector<float> logits = reference.Logits(tokens);
    const auto used = static_cast<size_t>(model.tokenizer().vocab_size());
    out.push_back(Greedy(std::span(logits).last(vocabulary).first(used)));
    tokens.push_back(out.back());
  }
  return out;
}

}  // namespace weir::serve
