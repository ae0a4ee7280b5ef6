#include "control/held_slots.h"

#include <algorithm>
#include <tuple>
#include <vector>

namespace weir::control {

std::map<std::string, HeldSlot> HeldSlots(const State& state, Time now) {
  std::map<std::string, HeldSlot> out;
  if (state.book.contracts.empty()) return out;
  const market::Date today = market::Date::Of(now);
  std::map<std::pair<std::string, std::string>, std::vector<const wire::Slot*>> pools;
  for (const auto& [id, slot] : state.slots) pools[{slot.site, slot.type}].push_back(&slot);
  for (auto& [pool, slots] : pools) {
    const auto supply = market::SupplyOf(state.book, pool.first, pool.second, today);
    if (!supply) continue;
    std::sort(slots.begin(), slots.end(), [](const wire::Slot* a, const wire::Slot* b) {
      return std::tie(a->node, a->index) < std::tie(b->node, b->index);
    });
    for (size_t i = 0; i < slots.size(); ++i) {
      const auto rank = static_cast<int64_t>(i);
      HeldSlot& h = out[slots[i]->id];
      h.held = rank < supply->now;
      for (const auto& [day, quantity] : supply->later)
        if (!h.until.is_set() && rank >= quantity) h.until = day.Start();
    }
  }
  return out;
}

}  // namespace weir::control
