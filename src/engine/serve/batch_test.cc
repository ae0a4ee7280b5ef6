#include "engine/serve/batch.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>

#include "base/random.h"
#include "engine/serve/kv_cache.h"

namespace weir::serve {
namespace {

const Flow kOneFlow[] = {{}};

RunningSequence Decoding(uint64_t order, int64_t computed, int64_t blocks) {
  return {.order = order,
          .tokens = computed + 1,
          .computed = computed,
          .blocks = blocks,
          .own_blocks = blocks};
}
RunningSequence InPrompt(uint64_t order, int64_t tokens, int64_t computed) {
  const int64_t blocks = KvCache::BlocksFor(computed);
  return {.order = order,
          .tokens = tokens,
          .computed = computed,
          .blocks = blocks,
          .own_blocks = blocks};
}

TEST(PlanStep, DecodesAllThenGivesPromptsWhatTheBudgetLeaves) {
  const RunningSequence running[] = {Decoding(1, 40, 2), InPrompt(2, 300, 64), Decoding(3, 5, 1),
                                     InPrompt(4, 100, 0)};
  const StepPlan plan = PlanStep({.limits = {.step_rows = 130},
                                  .flows = kOneFlow,
                                  .running = running,
                                  .available_blocks = 100});
  ASSERT_EQ(plan.work.size(), 4u);
  EXPECT_EQ(plan.work[0].tokens, 1);
  EXPECT_EQ(plan.work[2].tokens, 1);
  // 128 rows are left. One prompt is behind by 64 tokens and catches up, then both go on.
  EXPECT_EQ(plan.work[1].tokens, 32);
  EXPECT_EQ(plan.work[3].tokens, 96);
}

TEST(PlanStep, AShortPromptOvertakesALongOneButOnlySoMany) {
  RunningSequence running[] = {InPrompt(1, 10'000, 4'000), InPrompt(2, 60, 0)};
  running[0].arrival = 1;
  const auto plan = [&](int64_t arrival) {
    running[1].arrival = arrival;
    return PlanStep({.limits = {.step_rows = 64},
                     .flows = kOneFlow,
                     .running = running,
                     .available_blocks = 1000})
        .work;
  };
  EXPECT_EQ(plan(2)[0].sequence, 1u);
  EXPECT_EQ(plan(2)[0].tokens, 60);
  EXPECT_EQ(plan(4'000 / kOvertake + 2)[0].sequence, 0u);
  EXPECT_GE(plan(4'000 / kOvertake + 2)[0].tokens, kChunk);
}

TEST(PlanStep, OneChunkMovesHoweverSmallTheBudget) {
  const RunningSequence running[] = {Decoding(1, 12, 1), InPrompt(2, 300, 0)};
  const StepPlan plan = PlanStep(
      {.limits = {.step_rows = 1}, .flows = kOneFlow, .running = running, .available_blocks = 9});
  ASSERT_EQ(plan.work.size(), 2u);
  EXPECT_EQ(plan.work[1].tokens, kChunk);
}

TEST(PlanStep, TheYoungestOfTheWorstTierIsPreemptedWhenBlocksRunOut) {
  RunningSequence running[] = {Decoding(4, 32, 1), Decoding(1, 32, 1), Decoding(3, 32, 1),
                               Decoding(2, 40, 2)};
  running[1].tier = 2;
  StepPlan plan = PlanStep({.flows = kOneFlow, .running = running, .available_blocks = 0});
  EXPECT_EQ(plan.preempt, (std::vector<size_t>{1})) << "tier 2 makes room for the third";
  EXPECT_EQ(plan.work.size(), 2u) << "the fourth waits a step";
  running[1].tier = 1;
  plan = PlanStep({.flows = kOneFlow, .running = running, .available_blocks = 1});
  EXPECT_EQ(plan.preempt, (std::vector<size_t>{0})) << "then the youngest goes";
  EXPECT_EQ(plan.work.size(), 3u);
}

TEST(PlanStep, AdmitsByWhatIsNeededAndExpectedAndHoldsBackThoseBehind) {
  WaitingSequence waiting[] = {{.order = 1, .tokens = 100, .expected = 28},  // 4 blocks
                               {.order = 2, .tokens = 200, .expected = 24},  // 7
                               {.order = 3, .tokens = 10, .expected = 10}};  // 1
  const auto admitted = [&](int64_t blocks, int places) {
    return PlanStep({.limits = {.max_sequences = places},
                     .flows = kOneFlow,
                     .waiting = waiting,
                     .available_blocks = blocks})
        .admit;
  };
  EXPECT_EQ(admitted(10, 8), (std::vector<size_t>{0}));
  EXPECT_EQ(admitted(12, 8), (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(admitted(12, 2), (std::vector<size_t>{0, 1}));
  waiting[1].held = true;  // passed over
  EXPECT_EQ(admitted(10, 8), (std::vector<size_t>{0, 2}));
  waiting[1].held = false;
  waiting[1].held_by = 0;  // while the first computes what it will share
  EXPECT_EQ(admitted(10, 8), (std::vector<size_t>{0, 2}));
}

TEST(PlanStep, ABetterTierAndAFlowBelowItsShareGetAPlace) {
  const Flow flows[] = {{.charged = 900}, {.charged = 10}, {.charged = 0}};
  RunningSequence running[4];
  for (uint64_t i = 0; i < 4; ++i) {
    running[i] = Decoding(i, 40, 2);
    running[i].turn = 20;
  }
  WaitingSequence next{.order = 9, .flow = 1, .tokens = 10};
  const auto preempted = [&] {
    return PlanStep({.limits = {.max_sequences = 4},
                     .flows = flows,
                     .running = running,
                     .waiting = {&next, 1},
                     .available_blocks = 100})
        .preempt;
  };
  EXPECT_EQ(preempted(), (std::vector<size_t>{3})) << "four places of one flow, none of the other";
  running[3].turn = kLeastTurn - 1;
  EXPECT_EQ(preempted(), (std::vector<size_t>{2})) << "a turn lasts a while";
  running[2].flow = running[3].flow = 1;
  EXPECT_TRUE(preempted().empty()) << "both flows have their share";
  running[1].tier = 2;
  running[1].flow = 2;
  EXPECT_EQ(preempted(), (std::vector<size_t>{1})) << "a worse tier yields";
  next.tier = 3;
  EXPECT_TRUE(preempted().empty());
}

// A block that the one who yields shares with the prefix tree alone is not free afterwards if the
// one who takes the place goes on from it. (It was counted twice, and the pool ran dry.)
TEST(PlanStep, WhatTheNextOneSharesIsNotFreedByWhoMakesRoomForIt) {
  RunningSequence running[] = {Decoding(1, 40, 2), Decoding(2, 120, 4)};
  running[1].tier = 2;
  running[1].turn = 20;
  // Needs two blocks beyond the two that it shares.
  WaitingSequence next{.order = 3, .tokens = 100, .cached = 64, .blocks = 2, .expected = 28};
  const auto admits = [&](int64_t shared) {
    next.shared = shared;
    return PlanStep({.limits = {.max_sequences = 2},
                     .flows = kOneFlow,
                     .running = running,
                     .waiting = {&next, 1},
                     .available_blocks = 0})
        .admit.size();
  };
  running[0].expected = 1;
  EXPECT_EQ(admits(0), 1u);
  EXPECT_EQ(admits(2), 1u);
  running[1].own_blocks = 3;
  EXPECT_EQ(admits(0), 1u);
  EXPECT_EQ(admits(2), 0u);
}

TEST(PlanStep, DraftsTakeWhatIsLeftBelowTheirBound) {
  RunningSequence running[] = {Decoding(1, 40, 2), Decoding(2, 40, 2), InPrompt(3, 100, 96)};
  running[0].drafts = 7;
  running[1].drafts = 2;
  const StepPlan plan = PlanStep({.limits = {.speculative_rows = 12},
                                  .flows = kOneFlow,
                                  .running = running,
                                  .available_blocks = 10});
  ASSERT_EQ(plan.work.size(), 3u);
  EXPECT_EQ(plan.work[0].drafts, 4);  // 12 rows less two decodes, four of the prompt, two drafts
  EXPECT_EQ(plan.work[1].drafts, 2);
  EXPECT_EQ(plan.work[2].tokens, 4);
}

TEST(AdmissionOrder, TakesTurnsByChargeAndWithinAFlowByAge) {
  const Flow flows[] = {{.charged = 0}, {.charged = 0}, {.charged = 250, .weight = 0.25}};
  const Applicant waiting[] = {{5, 0, 100}, {1, 0, 100}, {2, 0, 100},
                               {3, 1, 100}, {4, 1, 100}, {6, 2, 100}};
  EXPECT_EQ(AdmissionOrder(flows, waiting, 9), (std::vector<size_t>{1, 3, 2, 4, 0, 5}));
  EXPECT_EQ(AdmissionOrder(flows, waiting, 2), (std::vector<size_t>{1, 3}));
}

// --- a world of counters ----------------------------------------------------------------------

// What a broken planner or engine might do; a check that no mutation can upset proves nothing.
enum class Planted {
  kNothing,
  kForgetsAPreemption,
  kAdmitsTheHeld,
  kStarvesTheOldest,
  kLeaksABlock
};

struct SimRequest {
  uint64_t order = 0;
  int flow = 0, tier = 1;
  int64_t prompt = 0, answer = 0, generated = 0;
  int64_t computed = 0, blocks = 0, turn = 0;
  int64_t tokens() const { return prompt + generated; }
};

// Goal:   any mix of requests is served to its end within every limit, whatever comes and goes.
// Method: plans are carried out on counters alone, for random requests, flows, tiers, pools, drafts
//         and cancels, all from one seed. Returns what went wrong first; nullopt: nothing.
std::optional<std::string> Simulate(uint64_t seed, Planted bug) {
  Random random(seed);
  const BatchLimits limits{.max_sequences = static_cast<int>(1 + random.Below(9)),
                           .step_rows = static_cast<int64_t>(1 + random.Below(150)),
                           .speculative_rows = static_cast<int64_t>(random.Below(20))};
  const auto total_blocks = static_cast<int64_t>(14 + random.Below(40));
  const auto flow_count = 1 + random.Below(4);
  std::vector<Flow> flows(flow_count);
  for (size_t f = 0; f < flow_count; ++f) flows[f].weight = 1.0 / static_cast<double>(1 + f);
  std::vector<SimRequest> running, waiting;
  std::map<uint64_t, int64_t> work_of;  // tokens that were computed, wasted ones included
  int64_t free_blocks = total_blocks;
  uint64_t arrived = 0, finished = 0;
  const uint64_t to_come = 30 + random.Below(30);
  int64_t work_left = 0;
  const auto fits = [&](const SimRequest& r) {
    return KvCache::BlocksFor(r.prompt + r.answer) <= total_blocks;
  };
  for (int64_t step = 0; finished < to_come; ++step) {
    while (arrived < to_come && (waiting.empty() || random.Chance(0.3))) {
      SimRequest r{.order = arrived++,
                   .flow = static_cast<int>(random.Below(flow_count)),
                   .prompt = static_cast<int64_t>(1 + random.Below(300)),
                   .answer = static_cast<int64_t>(1 + random.Below(80))};
      r.tier = 1 + r.flow % 3;
      while (!fits(r)) r.prompt /= 2;
      work_left += 40 * (r.prompt + r.answer + 40);
      waiting.push_back(r);
    }
    if (step > work_left) return fmt::format("no end after {} steps", step);

    std::vector<Applicant> applicants;
    for (const SimRequest& r : waiting) applicants.push_back({r.order, r.flow, r.tokens()});
    std::vector<WaitingSequence> next;
    const std::vector<size_t> order = AdmissionOrder(flows, applicants, 8);
    for (const size_t i : order) {
      const SimRequest& r = waiting[i];
      next.push_back({.order = r.order,
                      .arrival = static_cast<int64_t>(r.order),
                      .flow = r.flow,
                      .tier = r.tier,
                      .tokens = r.tokens(),
                      .expected = std::max<int64_t>(1, (r.answer - r.generated) / 2),
                      .held = !running.empty() && random.Chance(0.1)});
    }
    std::vector<RunningSequence> now;
    for (const SimRequest& r : running) {
      now.push_back({.order = r.order,
                     .arrival = static_cast<int64_t>(r.order),
                     .flow = r.flow,
                     .tier = r.tier,
                     .tokens = r.tokens(),
                     .computed = r.computed,
                     .blocks = r.blocks,
                     .own_blocks = r.blocks,
                     .expected = std::max<int64_t>(1, (r.answer - r.generated) / 2),
                     .drafts = static_cast<int64_t>(random.Below(6)),
                     .turn = r.turn});
    }
    StepPlan plan = PlanStep({.limits = limits,
                              .flows = flows,
                              .running = now,
                              .waiting = next,
                              .available_blocks = free_blocks});
    if (bug == Planted::kForgetsAPreemption && !plan.preempt.empty()) plan.preempt.pop_back();
    if (bug == Planted::kAdmitsTheHeld) {
      for (size_t i = 0; i < next.size(); ++i) {
        if (next[i].held) plan.admit.push_back(i);
      }
    }
    const auto oldest = std::min_element(now.begin(), now.end(), [](const auto& a, const auto& b) {
      return a.tier != b.tier ? a.tier < b.tier : a.order < b.order;
    });
    if (bug == Planted::kStarvesTheOldest && plan.work.size() > 1) {
      std::erase_if(plan.work, [&](const auto& w) {
        return w.sequence == static_cast<size_t>(oldest - now.begin());
      });
    }

    // The plan by itself.
    if (plan.work.empty() && plan.preempt.empty()) return "an empty plan";
    std::vector<int> seen(now.size() + plan.admit.size()), gone(now.size());
    for (const size_t i : plan.preempt) {
      if (gone.at(i)++ != 0) return "preempted twice";
      // For memory never; for its place, after its turn.
      const bool yields = !plan.admit.empty() && now[i].turn >= kLeastTurn;
      if (now[i].order == oldest->order && !yields) return "the most important one was preempted";
    }
    for (const size_t i : plan.admit) {
      if (next.at(i).held) return "one that is to wait for a prefix was admitted";
    }
    const size_t places = now.size() - plan.preempt.size() + plan.admit.size();
    if (places > static_cast<size_t>(limits.max_sequences)) return "more sequences than places";
    if (oldest != now.end() && oldest->tokens - oldest->computed == 1 &&
        gone[static_cast<size_t>(oldest - now.begin())] == 0 &&
        std::none_of(plan.work.begin(), plan.work.end(), [&](const StepPlan::Work& w) {
          return w.sequence == static_cast<size_t>(oldest - now.begin());
        })) {
      return "the most important one stands still";
    }
    int64_t decodes = 0, drafts = 0, prompts = 0;

    // Carried out: blocks first, as the engine does.
    for (const size_t i : plan.preempt) {
      free_blocks += running[i].blocks;
      running[i].blocks = running[i].computed = running[i].turn = 0;
    }
    std::vector<SimRequest> members = running;
    for (const size_t i : plan.admit) members.push_back(waiting[order[i]]);
    for (const StepPlan::Work& work : plan.work) {
      if (work.sequence >= members.size()) return "work for nobody";
      if (seen[work.sequence]++ != 0) return "one sequence twice in a step";
      if (work.sequence < gone.size() && gone[work.sequence] != 0) return "work for the preempted";
      SimRequest& r = members[work.sequence];
      const bool decode = r.tokens() - r.computed == 1;
      if (work.tokens < 1 || r.computed + work.tokens > r.tokens()) return "more than is known";
      if (decode) {
        ++decodes;
        drafts += work.drafts;
        if (work.drafts > (work.sequence < now.size() ? now[work.sequence].drafts : 0)) {
          return "more drafts than offered";
        }
      } else {
        prompts += work.tokens;
        if (work.drafts != 0) return "drafts within a prompt";
        if (r.computed + work.tokens < r.tokens() && (r.computed + work.tokens) % kChunk != 0) {
          return "a chunk ends off the border";
        }
      }
      const int64_t more = KvCache::BlocksFor(r.computed + work.tokens + work.drafts) - r.blocks;
      if (more > 0) {
        free_blocks -= more;
        r.blocks += more;
      }
      if (free_blocks < 0) return "more blocks taken than there are";
      r.computed += work.tokens;
      work_of[r.order] += work.tokens;
      flows[static_cast<size_t>(r.flow)].charged +=
          static_cast<double>(work.tokens) / flows[static_cast<size_t>(r.flow)].weight;
      if (r.computed == r.tokens()) {
        // Drafts are right as far as a coin says; never beyond the answer's end.
        const auto right = static_cast<int64_t>(
            work.drafts > 0 ? random.Below(static_cast<uint64_t>(work.drafts) + 1) : 0);
        const int64_t tokens = std::min(1 + right, r.answer - r.generated);
        r.generated += tokens;
        r.computed += tokens - 1;
        r.turn += tokens;
      }
    }
    if (prompts > std::max(limits.step_rows - decodes, kChunk)) return "prompts beyond the budget";
    if (drafts > 0 && decodes + drafts + prompts > limits.speculative_rows) {
      return "drafts beyond their bound";
    }

    std::vector<SimRequest> still;
    for (size_t i = 0; i < members.size(); ++i) {
      SimRequest& r = members[i];
      if (i < gone.size() && gone[i] != 0) {
        waiting.push_back(r);
      } else if (r.generated >= r.answer || random.Chance(0.003)) {  // done, or cancelled
        free_blocks += r.blocks - (bug == Planted::kLeaksABlock && r.blocks > 1 ? 1 : 0);
        ++finished;
      } else {
        still.push_back(r);
      }
    }
    std::vector<uint64_t> admitted;
    for (const size_t i : plan.admit) admitted.push_back(waiting[order[i]].order);
    std::erase_if(waiting, [&](const SimRequest& r) {
      return std::find(admitted.begin(), admitted.end(), r.order) != admitted.end();
    });
    running = std::move(still);
    int64_t held = 0;
    for (const SimRequest& r : running) held += r.blocks;
    if (held + free_blocks != total_blocks) return "a block is lost";
  }
  return std::nullopt;
}

uint64_t FirstSeed() {
  const char* text = std::getenv("SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : 1;
}

TEST(PlanStep, ServesAnyMixToItsEndWithinItsLimits) {
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 150; ++seed) {
    EXPECT_EQ(Simulate(seed, Planted::kNothing).value_or("nothing wrong"), "nothing wrong")
        << "SEED=" << seed;
  }
}

TEST(PlanStep, TheSimulationCatchesPlantedBugs) {
  for (const Planted bug : {Planted::kForgetsAPreemption, Planted::kAdmitsTheHeld,
                            Planted::kStarvesTheOldest, Planted::kLeaksABlock}) {
    int caught = 0;
    for (uint64_t seed = 1; seed <= 20; ++seed) caught += Simulate(seed, bug) ? 1 : 0;
    EXPECT_GE(caught, 5) << "bug " << static_cast<int>(bug);
  }
}

// Goal:   two keys that both want more than there is get the same, however many requests each has.
TEST(PlanStep, BackloggedFlowsGetTheSameNumberOfTokens) {
  std::vector<Flow> flows(2);
  double served[2] = {};
  std::vector<SimRequest> running, waiting;
  uint64_t order = 0;
  for (int step = 0; step < 3000; ++step) {
    // Flow 0 keeps 20 requests waiting, flow 1 only 2.
    for (int f = 0; f < 2; ++f) {
      const auto queued = std::count_if(waiting.begin(), waiting.end(),
                                        [f](const SimRequest& r) { return r.flow == f; });
      for (auto i = queued; i < (f == 0 ? 20 : 2); ++i) {
        waiting.push_back({.order = order++, .flow = f, .prompt = 200, .answer = 50});
      }
    }
    std::vector<Applicant> applicants;
    for (const SimRequest& r : waiting) applicants.push_back({r.order, r.flow, r.tokens()});
    const std::vector<size_t> first = AdmissionOrder(flows, applicants, 4);
    std::vector<WaitingSequence> next;
    for (const size_t i : first) {
      next.push_back({.order = waiting[i].order,
                      .flow = waiting[i].flow,
                      .tokens = waiting[i].tokens(),
                      .expected = 50});
    }
    std::vector<RunningSequence> now;
    for (const SimRequest& r : running) {
      now.push_back({.order = r.order,
                     .flow = r.flow,
                     .tokens = r.tokens(),
                     .computed = r.computed,
                     .blocks = KvCache::BlocksFor(r.computed),
                     .own_blocks = KvCache::BlocksFor(r.computed),
                     .expected = 50,
                     .turn = r.generated});
    }
    const StepPlan plan = PlanStep({.limits = {.max_sequences = 8, .step_rows = 64},
                                    .flows = flows,
                                    .running = now,
                                    .waiting = next,
                                    .available_blocks = 1000});
    std::vector<SimRequest> members = running;
    for (const size_t i : plan.admit) members.push_back(waiting[first[i]]);
    for (const StepPlan::Work& work : plan.work) {
      SimRequest& r = members[work.sequence];
      r.computed += work.tokens;
      flows[static_cast<size_t>(r.flow)].charged += static_cast<double>(work.tokens);
      if (step > 500) served[r.flow] += static_cast<double>(work.tokens);
      if (r.computed == r.tokens()) ++r.generated;
    }
    for (const size_t i : plan.preempt) {
      members[i].computed = 0;
      waiting.push_back(members[i]);
      members[i].generated = members[i].answer;  // leaves
    }
    std::erase_if(waiting, [&](const SimRequest& w) {
      return std::any_of(plan.admit.begin(), plan.admit.end(),
                         [&](size_t i) { return next[i].order == w.order; });
    });
    running = members;
    std::erase_if(running, [](const SimRequest& r) { return r.generated >= r.answer; });
  }
  EXPECT_NEAR(served[0] / served[1], 1.0, 0.1) << served[0] << " " << served[1];
}

}  // namespace
}  // namespace weir::serve
