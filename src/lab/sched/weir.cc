#include "lab/sched/weir.h"

namespace weir::sched {

void WeirAllocator::Decide(Turn& turn) {
  notes_ = {};
  Plan plan(&turn, &notes_);
  GiveBack(&plan);
  ServeProduct(&plan);
  ServeResearch(&plan);
}

const AllocatorEntry kWeir = {
    "weir", "research first: guarantees, shares, loans to product at the least lost work",
    []() -> std::unique_ptr<Allocator> { return std::make_unique<WeirAllocator>(); }};

}  // namespace weir::sched
