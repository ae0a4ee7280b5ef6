// Which slots are held and lent in truth: the simulator's own account, which shares nothing with
// the scheduler that it checks.
//
// Every change costs O(nodes of the gang). Each function that can find a breach returns it as a
// sentence; empty = all is well.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/sim/scenario/fleet.h"
#include "lab/sched/fleet.h"

namespace weir::sim {

class SlotBook {
 public:
  explicit SlotBook(const FleetSpec& fleet);

  // `loan` -1: not on a loan. `who` names the holder in sentences.
  std::string Take(const sched::Places& places, int loan, const std::string& who);
  std::string Give(const sched::Places& places, const std::string& who);
  std::string Lend(int loan, const sched::Places& places);
  void Unlend(int loan);

  void SetUsable(int node, bool usable);
  bool usable(int node) const { return nodes_[static_cast<size_t>(node)].usable != 0; }
  uint64_t Free(int node) const {  // usable, held by nobody, on no loan
    const Row& row = nodes_[static_cast<size_t>(node)];
    return row.usable & ~(row.held | row.lent);
  }
  int64_t usable_slots() const { return usable_slots_; }
  int64_t held_slots() const { return held_slots_; }
  int64_t held_usable() const { return held_usable_; }

  // Of the free usable slots, those on nodes that are in part used: (fragmented, free).
  std::pair<int64_t, int64_t> FreeParts() const;

 private:
  struct Row {
    uint64_t all = 0, usable = 0, held = 0, lent = 0;
    int site = 0;
    std::string type;
  };
  std::string NameOf(int node) const { return fleet_.nodes[static_cast<size_t>(node)].name; }

  const FleetSpec& fleet_;
  std::vector<Row> nodes_;
  std::map<int, sched::Places> loans_;
  int64_t usable_slots_ = 0, held_slots_ = 0, held_usable_ = 0;
};

}  // namespace weir::sim
