// What a Slurm site needs before work is sent to it, looked at one by one: for `weir site add` and
// `weir doctor --site`. Nothing is started; the submission is tried with sbatch --test-only.
#pragma once

#include <string>
#include <vector>

#include "control/drivers/slurm/door.h"
#include "wire/site.h"

namespace weir::control::slurm {

// The versions that the tests were run against.
inline constexpr const char* kTestedVersions = "22.05";
inline constexpr Duration kClockMayDiffer = Duration::Seconds(60);

// In the order in which they build on each other; what cannot be looked at because of an earlier
// one is left out. Blocks; writes and removes one small file in data_dir/sites.
std::vector<wire::SiteCheck> CheckSite(const wire::SiteSpec& site, Door& door,
                                       const std::string& data_dir, const std::string& weir_binary,
                                       Time now);

}  // namespace weir::control::slurm
