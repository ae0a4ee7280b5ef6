#include "control/drivers/slurm/outcome.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/outcome.h"

namespace weir::control::slurm {
namespace {

constexpr int kTimeLimitExit = 124, kKilledExit = 137, kTerminatedExit = 143;

std::string CodeText(int64_t code) {
  return code > 128 && code < 192 ? fmt::format("signal {}", code - 128)
                                  : fmt::format("exit {}", code);
}

// The rank whose end is the gang's: the first that ended other than with 0 or 75, else one with 75,
// else the first.
int DecidingRank(const std::vector<std::optional<RankExit>>& ranks) {
  int best = -1;
  const auto order = [&](int r) {
    const int64_t code = ranks[static_cast<size_t>(r)]->code;
    const int kind = code != 0 && code != kExitResume ? 0 : code == kExitResume ? 1 : 2;
    return std::tuple(kind, kind == 0 ? ranks[static_cast<size_t>(r)]->at_s : 0, r);
  };
  for (int r = 0; r < static_cast<int>(ranks.size()); ++r) {
    if (!ranks[static_cast<size_t>(r)]) continue;
    if (best < 0 || order(r) < order(best)) best = r;
  }
  return best;
}

}  // namespace

Verdict VerdictOf(const Ending& e) {
  Verdict v;
  const bool all = !e.ranks.empty() && std::all_of(e.ranks.begin(), e.ranks.end(),
                                                   [](const auto& r) { return r.has_value(); });
  v.rank = DecidingRank(e.ranks);
  const int64_t said = v.rank < 0 ? -1 : e.ranks[static_cast<size_t>(v.rank)]->code;
  const std::string slurm = e.state.empty() ? ""
                                            : fmt::format(" (Slurm: {}{}{})", e.state,
                                                          e.reason.empty() ? "" : ", ", e.reason);
  const auto exited = [&](int code, std::string reason) {
    v.exit_code = code;
    v.reason = std::move(reason);
    return v;
  };
  const auto lost = [&](std::string reason) {
    v.phase = RunPhase::kLost;
    v.reason = std::move(reason);
    return v;
  };
  const auto by_rank = [&] {
    std::string reason = CodeText(said);
    if (e.ranks.size() > 1)
      reason = fmt::format("rank {} of {}: {}", v.rank, e.ranks.size(), reason);
    const bool usual = e.state.empty() || e.state == "COMPLETED" || e.state == "FAILED" ||
                       (e.state == "CANCELLED" && e.asked);
    return exited(static_cast<int>(said), usual ? reason : reason + slurm);
  };

  if (all && said == 0) return by_rank();
  if (e.cause.rfind("time limit", 0) == 0) return exited(kTimeLimitExit, e.cause);
  if (all && said == kExitResume) return by_rank();
  if (!e.cause.empty() && !e.began) return exited(kExitResume, e.cause + slurm);
  if (e.state == "OUT_OF_MEMORY") {
    return exited(kKilledExit,
                  e.memory_limit_bytes > 0
                      ? fmt::format("memory limit {}{}", HumanBytes(e.memory_limit_bytes), slurm)
                      : "out of memory" + slurm);
  }
  if (e.state == "TIMEOUT" || e.state == "DEADLINE") {
    if (e.time_limit.us > 0)
      return exited(kTimeLimitExit, fmt::format("time limit {}{}", Human(e.time_limit), slurm));
    return exited(kTimeLimitExit, "the site's time limit" + slurm);
  }
  if (e.state == "NODE_FAIL" || e.state == "BOOT_FAIL" || e.state == "LAUNCH_FAILED")
    return lost("a node failed" + slurm);
  if (e.state == "PREEMPTED") return lost("the site's other users took its nodes" + slurm);
  // What a rank says of itself, unless it was killed from outside.
  const bool own_end = v.rank >= 0 && said != 0 && said != kExitResume && said != kKilledExit &&
                       said != kTerminatedExit;
  if (own_end) return by_rank();
  if (e.state == "CANCELLED") {
    if (!e.asked) return exited(kTerminatedExit, "cancelled at the site, not by Weir" + slurm);
    if (!e.began) return exited(kExitResume, "withdrawn before it began");
    return exited(kKilledExit, e.killed ? "killed after grace" : "signal 9" + slurm);
  }
  if (all) return by_rank();
  if (e.state.empty()) return lost("Slurm does not know its job any more");
  const int64_t code = e.exit % 256 != 0 ? 128 + e.exit % 128 : (e.exit / 256) % 256;
  // It ran, and some of its ranks never said a word: whatever they were on is gone.
  if (e.began && !all && code != kExitResume && (e.exit == 0 || e.exit % 256 != 0))
    return lost("its ranks ended without a word" + slurm);
  return exited(static_cast<int>(code), CodeText(code) + slurm);
}

}  // namespace weir::control::slurm
