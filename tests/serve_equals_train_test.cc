// Goal:   greedy serving (KV cache, prompt chunks, batches) gives, token for token, what the
//         trainer's own forward pass over the whole text would choose.
// Method: random weights written as a model folder, loaded by the server, copied tensor by tensor
//         into the trainer's model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <future>

#include "base/random.h"
#include "engine/model/random_model.h"
#include "engine/model/weights.h"
#include "engine/serve/engine.h"
#include "engine/train/model.h"
#include "io/clock.h"
#include "io/files.h"

namespace weir {
namespace {

TEST(ServeEqualsTrain, GreedyTokensAreTheTrainersChoice) {
  constexpr int kVocabulary = 300, kTokens = 48;
  const io::TempDir dir = *io::TempDir::Create();
  const model::ModelConfig config{.vocab_size = kVocabulary,
                                  .dim = 96,
                                  .layers = 3,
                                  .heads = 6,
                                  .kv_heads = 2,
                                  .head_dim = 16,
                                  .ffn_dim = 160,
                                  .max_seq = 256,
                                  .tied_embeddings = true,
                                  .bos_id = 0,
                                  .eos_id = 0};
  ASSERT_TRUE(model::WriteRandomModel(dir.path(), config, 42));
  const auto loaded = *model::Model::Load(dir.path());

  kernels::ThreadPool pool(2);
  train::Model trainer(config, config.max_seq, config.max_seq, train::Storage::kF32, &pool);
  for (const train::Slice& slice : trainer.slices()) {
    const auto it = std::find_if(loaded->tensors().begin(), loaded->tensors().end(),
                                 [&](const auto& t) { return t.name == slice.name; });
    ASSERT_NE(it, loaded->tensors().end()) << slice.name;
    ASSERT_EQ(it->elements(), slice.size);
    std::memcpy(trainer.parameters().data() + slice.offset, it->data.data(), it->data.size());
  }
  trainer.RefreshStored();
  trainer.RefreshGains();

  const io::RealClock clock;
  const auto engine = *serve::Engine::Create(loaded, {.max_batch = 4, .threads = 2}, clock);
  Random random(7);
  std::vector<std::vector<int32_t>> prompts(6);
  std::vector<std::promise<std::string>> answers(6);
  std::vector<std::string> texts(6);
  for (size_t i = 0; i < prompts.size(); ++i) {
    for (uint64_t n = 1 + random.Below(60); n > 0; --n) {
      prompts[i].push_back(static_cast<int32_t>(1 + random.Below(250)));
    }
    ASSERT_TRUE(engine->Submit({.prompt = prompts[i],
                                .max_tokens = kTokens,
                                .sampling = {.temperature = 0},
                                .ignore_eos = true},
                               [&, i](const serve::Event& event) {
                                 texts[i] += event.text;
                                 if (event.done) answers[i].set_value(texts[i]);
                               }));
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::vector<int32_t> tokens = prompts[i], chosen;
    for (int n = 0; n < kTokens; ++n) {
      const std::vector<float> logits = trainer.Logits(tokens);
      const auto last = std::span(logits)
                            .last(kVocabulary)
                            .first(static_cast<size_t>(loaded->tokenizer().vocab_size()));
      chosen.push_back(serve::Greedy(last));
      tokens.push_back(chosen.back());
    }
    std::string expected = loaded->tokenizer().Decode(chosen);
    EXPECT_EQ(answers[i].get_future().get(), model::TakeUtf8(expected, true)) << "prompt " << i;
  }
}

}  // namespace
}  // namespace weir
