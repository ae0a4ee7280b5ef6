#include "engine/serve/batch.h"

#include <algorithm>

namespace weir::serve {

StepPlan PlanStep(const BatchLimits& limits, std::span<const RunningSequence> running,
                  std::span<const WaitingSequence> waiting, int64_t free_blocks) {
  StepPlan plan;
  std::vector<RunningSequence> all(running.begin(), running.end());
  for (const WaitingSequence& next : waiting) {
    if (all.size() >= static_cast<size_t>(limits.max_sequences) || next.blocks > free_blocks) break;
    free_blocks -= next.blocks;
    all.push_back({next.prompt_tokens, 0});
    ++plan.admitted;
  }
  int64_t budget = limits.step_tokens;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].computed_tokens < all[i].prompt_tokens) continue;
    plan.work.push_back({i, 1});
    --budget;
  }
  bool first_chunk = true;
  for (size_t i = 0; i < all.size(); ++i) {
    int64_t done = all[i].computed_tokens;
    int64_t tokens = 0;
    while (done < all[i].prompt_tokens) {
      const int64_t chunk = std::min<int64_t>(limits.prefill_chunk - done % limits.prefill_chunk,
                                              all[i].prompt_tokens - done);
      if (chunk > budget && !first_chunk) break;
      first_chunk = false;
      budget -= chunk;
      done += chunk;
      tokens += chunk;
    }
    if (tokens > 0) plan.work.push_back({i, tokens});
  }
  return plan;
}

}  // namespace weir::serve
