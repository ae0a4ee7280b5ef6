#include "engine/serve/forward.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "engine/kernels/thread_pool.h"
#include "engine/serve/serve_test_util.h"

namespace weir::serve {
namespace {

constexpr int kChunk = 16;

std::vector<int32_t> RandomTokens(Random& random, size_t n) {
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < n; ++i) tokens.push_back(static_cast<int32_t>(random.Below(300)));
  return tokens;
}

TEST(Forward, EqualsThePlainLoopsHoweverTheSequenceIsCut) {
  for (const model::DType type : {model::DType::kF32, model::DType::kBF16, model::DType::kF16}) {
    const auto model = RandomModel(3, type);
    Random random(5);
    const std::vector<int32_t> tokens = RandomTokens(random, 77);
    const std::vector<float> expected = ReferenceLogits(*model, tokens);
    kernels::ThreadPool pool(2);
    double worst = 0;
    for (int round = 0; round < 6; ++round) {
      KvCache cache(model->config(), 8);
      Forward forward(*model, cache, &pool, 128, kChunk);
      const std::vector<int32_t> blocks = cache.Take(KvCache::BlocksFor(77));
      for (size_t done = 0; done < tokens.size();) {
        const size_t n = std::min(tokens.size() - done, size_t{1} + random.Below(40));
        std::vector<float> logits(300);
        forward.Run({{Piece{.tokens = std::span(tokens).subspan(done, n),
                            .begin = static_cast<int64_t>(done),
                            .blocks = blocks,
                            .logits = logits.data()}}});
        done += n;
        for (size_t i = 0; i < 300; ++i) {
          worst = std::max(
              worst, std::fabs(static_cast<double>(logits[i]) - expected[(done - 1) * 300 + i]));
        }
      }
    }
    fmt::print("{}: largest difference {:.2g}\n", model::NameOf(type), worst);
    EXPECT_LT(worst, 2e-4);  // logits are of size 3; f32 sums of 96 terms, two layers deep
  }
}

TEST(Forward, ASequencesNumbersDoNotDependOnItsCompany) {
  for (const model::DType type : {model::DType::kF32, model::DType::kBF16}) {
    const auto model = RandomModel(4, type);
    kernels::ThreadPool pool(2);
    Random random(6);
    KvCache cache(model->config(), 64);
    Forward forward(*model, cache, &pool, 128, kChunk);
    std::vector<std::vector<int32_t>> tokens, blocks;
    for (int i = 0; i < 11; ++i) {
      tokens.push_back(RandomTokens(random, 20 + random.Below(40)));
      blocks.push_back(cache.Take(3));
    }
    // Each alone: the prompt but for its last token, then that one.
    std::vector<std::vector<float>> alone(11, std::vector<float>(300));
    for (size_t i = 0; i < 11; ++i) {
      const std::span<const int32_t> all = tokens[i];
      forward.Run({{Piece{all.first(all.size() - 1), 0, blocks[i], nullptr}}});
      forward.Run(
          {{Piece{all.last(1), static_cast<int64_t>(all.size()) - 1, blocks[i], alone[i].data()}}});
    }
    for (size_t company = 2; company <= 11; ++company) {
      std::vector<std::vector<float>> together(company, std::vector<float>(300));
      std::vector<Piece> pieces;
      for (size_t i = 0; i < company; ++i) {
        const std::span<const int32_t> all = tokens[i];
        pieces.push_back(
            {all.last(1), static_cast<int64_t>(all.size()) - 1, blocks[i], together[i].data()});
      }
      forward.Run(pieces);
      for (size_t i = 0; i < company; ++i) {
        ASSERT_EQ(together[i], alone[i]) << "sequence " << i << " of " << company;
      }
    }
  }
}

}  // namespace
}  // namespace weir::serve
