// Weir's own policy: research first, product's floor, loans. docs/policy.md has it in words.
#pragma once

#include "lab/sched/plan.h"

namespace weir::sched {

class WeirAllocator : public Allocator {
 public:
  void Decide(Turn& turn) override;
  // Of the newest decision, for explain.h. Never read by the next one.
  const Notes& notes() const { return notes_; }

 private:
  Notes notes_;
};

}  // namespace weir::sched
