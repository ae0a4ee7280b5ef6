#include "engine/serve/batch.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>

#include "base/random.h"

namespace weir::serve {
namespace {

TEST(PlanStep, DecodesFirstThenPromptsInOrderOfArrivalWithinTheBudget) {
  const BatchLimits limits{.max_sequences = 8, .prefill_chunk = 64, .step_tokens = 130};
  const RunningSequence running[] = {{10, 12}, {300, 64}, {5, 5}, {100, 0}};
  const StepPlan plan = PlanStep(limits, running, {}, 100);
  ASSERT_EQ(plan.work.size(), 3u);
  EXPECT_EQ(plan.work[0].sequence, 0u);
  EXPECT_EQ(plan.work[1].sequence, 2u);
  EXPECT_EQ(plan.work[2].sequence, 1u);  // two chunks of 64 of the first prompt, none of the second
  EXPECT_EQ(plan.work[2].tokens, 128);
}

TEST(PlanStep, TheFirstThatDoesNotFitHoldsBackThoseBehindIt) {
  const WaitingSequence waiting[] = {{4, 10}, {7, 10}, {1, 10}};
  EXPECT_EQ(PlanStep({}, {}, waiting, 10).admitted, 1u);
  EXPECT_EQ(PlanStep({}, {}, waiting, 12).admitted, 3u);
  EXPECT_EQ(PlanStep({.max_sequences = 2}, {}, waiting, 12).admitted, 2u);
}

TEST(PlanStep, AtLeastOneChunkMovesHoweverSmallTheBudget) {
  const RunningSequence running[] = {{10, 12}, {300, 0}};
  const StepPlan plan = PlanStep({.prefill_chunk = 64, .step_tokens = 1}, running, {}, 0);
  ASSERT_EQ(plan.work.size(), 2u);
  EXPECT_EQ(plan.work[1].tokens, 64);
}

// Goal:   any mix of requests is served to its end, in bounded steps, within every limit.
// Method: the plan is carried out on counters alone, for random requests and limits.
TEST(PlanStep, ServesAnyMixToItsEndWithinItsLimits) {
  const char* text = std::getenv("SEED");
  const uint64_t first = text != nullptr ? std::strtoull(text, nullptr, 0) : 1;
  for (uint64_t seed = first; seed < first + 200; ++seed) {
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    Random random(seed);
    const BatchLimits limits{.max_sequences = static_cast<int>(1 + random.Below(9)),
                             .prefill_chunk = static_cast<int>(1 + random.Below(70)),
                             .step_tokens = static_cast<int>(1 + random.Below(150))};
    const int64_t total_blocks = static_cast<int64_t>(10 + random.Below(20));
    int64_t free_blocks = total_blocks;
    struct Live {
      RunningSequence state;
      int64_t blocks, left;
      uint64_t number;
    };
    std::vector<Live> running;
    std::deque<WaitingSequence> waiting;
    uint64_t arrived = 0, admitted = 0, finished = 0;
    int64_t work_left = 0;
    for (int i = 0; i < 30; ++i) {
      const auto prompt = static_cast<int64_t>(1 + random.Below(300));
      waiting.push_back({static_cast<int64_t>(1 + random.Below(10)), prompt});
      ++arrived;
      work_left += prompt + 20;
    }
    for (int64_t step = 0; finished < arrived; ++step) {
      ASSERT_LE(step, work_left) << "no progress";
      std::vector<RunningSequence> now;
      for (const Live& live : running) now.push_back(live.state);
      const std::vector<WaitingSequence> queue(waiting.begin(), waiting.end());
      const StepPlan plan = PlanStep(limits, now, queue, free_blocks);
      for (size_t i = 0; i < plan.admitted; ++i) {
        running.push_back({{waiting.front().prompt_tokens, 0},
                           waiting.front().blocks,
                           static_cast<int64_t>(1 + random.Below(20)),
                           admitted++});
        free_blocks -= waiting.front().blocks;
        waiting.pop_front();
      }
      ASSERT_GE(free_blocks, 0);
      ASSERT_LE(running.size(), static_cast<size_t>(limits.max_sequences));
      ASSERT_FALSE(plan.work.empty());
      std::vector<int> seen(running.size());
      int64_t prompt_tokens = 0, chunks = 0;
      for (const StepPlan::Work& work : plan.work) {
        ASSERT_LT(work.sequence, running.size());
        ASSERT_EQ(seen[work.sequence]++, 0) << "one sequence twice in a step";
        Live& live = running[work.sequence];
        if (live.state.computed_tokens < live.state.prompt_tokens) {
          ASSERT_TRUE(live.state.computed_tokens % limits.prefill_chunk == 0);
          ASSERT_LE(live.state.computed_tokens + work.tokens, live.state.prompt_tokens);
          prompt_tokens += work.tokens;
          ++chunks;
        } else {
          ASSERT_EQ(work.tokens, 1);
          --live.left;
        }
        live.state.computed_tokens += work.tokens;
      }
      ASSERT_TRUE(prompt_tokens <= limits.step_tokens ||
                  (chunks == 1 && prompt_tokens <= limits.prefill_chunk));
      for (size_t i = 0; i < running.size(); ++i) {
        const bool decoding = now.size() > i && now[i].computed_tokens >= now[i].prompt_tokens;
        ASSERT_TRUE(!decoding || seen[i] == 1) << "a decode was left out";
      }
      std::erase_if(running, [&](const Live& live) {
        if (live.left > 0) return false;
        free_blocks += live.blocks;
        ++finished;
        return true;
      });
    }
    EXPECT_EQ(free_blocks, total_blocks);
  }
}

}  // namespace
}  // namespace weir::serve
