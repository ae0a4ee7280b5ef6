#include "control/sim/replay/slot_book.h"

#include <fmt/format.h>

#include <bit>

namespace weir::sim {

SlotBook::SlotBook(const FleetSpec& fleet) : fleet_(fleet) {
  for (const NodeSpec& node : fleet.nodes) {
    const uint64_t all = node.slots >= 64 ? ~uint64_t{0} : (uint64_t{1} << node.slots) - 1;
    nodes_.push_back({all, all, 0, 0, node.site, node.type});
    usable_slots_ += node.slots;
  }
}

std::string SlotBook::Take(const sched::Places& places, int loan, const std::string& who) {
  const Row* first = nullptr;
  for (const sched::Place& place : places) {
    if (place.node < 0 || static_cast<size_t>(place.node) >= nodes_.size())
      return fmt::format("{} was given slots of node {}, which does not exist", who, place.node);
    Row& row = nodes_[static_cast<size_t>(place.node)];
    if (first == nullptr) first = &row;
    if (first->site != row.site || first->type != row.type)
      return fmt::format("{} was given a gang across two sites or types", who);
    if ((place.slots & ~row.all) != 0)
      return fmt::format("{} was given slots that {} does not have", who, NameOf(place.node));
    if ((place.slots & row.held) != 0)
      return fmt::format("a slot was leased twice: {} on {}, slots {:#x} of which {:#x} are held",
                         who, NameOf(place.node), place.slots, place.slots & row.held);
    if ((place.slots & ~row.usable) != 0)
      return fmt::format("{} was given slots of {}, which is not usable", who, NameOf(place.node));
    uint64_t own = 0;
    if (const auto it = loans_.find(loan); it != loans_.end()) {
      for (const sched::Place& lent : it->second) {
        if (lent.node == place.node) own |= lent.slots;
      }
    }
    if (loan >= 0 && (place.slots & ~own) != 0)
      return fmt::format("{} stands on slots of {} that are not of its loan", who,
                         NameOf(place.node));
    if (loan < 0 && (place.slots & row.lent) != 0)
      return fmt::format("{} was given slots of {} that are on loan to another", who,
                         NameOf(place.node));
  }
  for (const sched::Place& place : places) {
    Row& row = nodes_[static_cast<size_t>(place.node)];
    row.held |= place.slots;
    held_slots_ += std::popcount(place.slots);
    held_usable_ += std::popcount(place.slots & row.usable);
  }
  return "";
}

std::string SlotBook::Give(const sched::Places& places, const std::string& who) {
  for (const sched::Place& place : places) {
    Row& row = nodes_[static_cast<size_t>(place.node)];
    if ((place.slots & ~row.held) != 0)
      return fmt::format("{} gave back slots of {} that nobody held", who, NameOf(place.node));
    row.held &= ~place.slots;
    held_slots_ -= std::popcount(place.slots);
    held_usable_ -= std::popcount(place.slots & row.usable);
  }
  return "";
}

std::string SlotBook::Lend(int loan, const sched::Places& places) {
  for (const sched::Place& place : places) {
    Row& row = nodes_[static_cast<size_t>(place.node)];
    if ((place.slots & row.lent) != 0)
      return fmt::format("loan {} has slots of {} that are on another loan", loan,
                         NameOf(place.node));
    row.lent |= place.slots;
  }
  sched::Places& all = loans_[loan];
  all.insert(all.end(), places.begin(), places.end());
  return "";
}

void SlotBook::Unlend(int loan) {
  for (const sched::Place& place : loans_[loan])
    nodes_[static_cast<size_t>(place.node)].lent &= ~place.slots;
  loans_.erase(loan);
}

void SlotBook::SetUsable(int node, bool usable) {
  Row& row = nodes_[static_cast<size_t>(node)];
  const uint64_t next = usable ? row.all : 0;
  usable_slots_ += std::popcount(next) - std::popcount(row.usable);
  held_usable_ += std::popcount(next & row.held) - std::popcount(row.usable & row.held);
  row.usable = next;
}

std::pair<int64_t, int64_t> SlotBook::FreeParts() const {
  int64_t part = 0, all = 0;
  for (const Row& row : nodes_) {
    const int64_t free = std::popcount(row.usable & ~row.held);
    all += free;
    if ((row.usable & row.held) != 0) part += free;
  }
  return {part, all};
}

}  // namespace weir::sim
