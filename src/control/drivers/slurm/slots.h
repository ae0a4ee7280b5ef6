// A cluster's nodes as slots of the lab.
//
// A slot is one accelerator of a node (or cpus_per_slot CPUs of it). Slurm itself chooses which of
// a node's devices a job gets, so the slots of a node are alike and only their number counts: what
// the site's other users hold is taken off the end of the row of those that no run of ours holds.
//
//   the node is          its slots are
//   down, not answering  down, with Slurm's reason
//   drained, in MAINT,   cordoned, with the reason
//   in a reservation that is not ours
//   up                   up, but for as many as others hold, and those beyond the site's quota
//   to be maintained     `leaves` is when the reservation begins (by this machine's clock)
//
// Threads   pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/drivers/slurm/door.h"
#include "wire/lab.h"
#include "wire/site.h"

namespace weir::control::slurm {

// A run of ours that has not ended.
struct Held {
  std::vector<std::string> slots;  // ids
  bool used = false;               // its job has started: Slurm counts them as used
};

// `theirs`: by node what others held at the look before; replaced. A job that ends or begins
// between the two halves of a look would seem to be theirs for a moment, so the smaller of two
// looks counts.
std::vector<wire::Slot> SlotsOf(const wire::SiteSpec& site, const Facts& facts, const Look& look,
                                const std::vector<Held>& held, Time now,
                                std::map<std::string, int64_t>& theirs);

// The accelerators of a node, one type for each; CPUs: one empty type for each slot.
std::vector<std::string> SlotTypes(const wire::SlurmSite& site, const Node& node);

}  // namespace weir::control::slurm
