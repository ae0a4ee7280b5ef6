#include "lab/sched/reclaim.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "lab/sched/shares.h"

namespace weir::sched {
namespace {

template <class Level>
std::vector<int64_t> CapsAbove(const Plan& plan, AccountId account, Level level) {
  std::vector<int64_t> caps;
  for (AccountId a = 0; a < std::ssize(plan.world.accounts()); ++a) {
    if (account >= 0 && plan.world.Within(account, a)) {
      caps.push_back(plan.world.fleet().usable());
      continue;
    }
    const double above = static_cast<double>(plan.turn.held(a)) - level(a);
    caps.push_back(std::clamp<int64_t>(static_cast<int64_t>(std::floor(above + 1e-6)), 0,
                                       std::max<int64_t>(plan.turn.running(a), 0)));
  }
  return caps;
}

}  // namespace

std::vector<int64_t> LendCaps(const Plan& plan, const std::vector<int64_t>& more) {
  std::vector<int64_t> caps;
  for (AccountId id = 0; id < std::ssize(plan.world.accounts()); ++id) {
    const Account& a = plan.world.accounts()[id];
    if (a.lend_limit < 0) {
      caps.push_back(plan.world.fleet().usable());
      continue;
    }
    const int64_t keep = std::max<int64_t>(a.guarantee - a.lend_limit, 0);
    caps.push_back(std::max<int64_t>(
        std::min(a.lend_limit - a.lent - more[id], plan.turn.running(id) - keep), 0));
  }
  return caps;
}

std::vector<int64_t> CapsAboveShare(const Plan& plan, AccountId account) {
  return CapsAbove(plan, account, [&](AccountId a) { return plan.turn.entitled(a); });
}

std::vector<int64_t> CapsAboveGuarantee(const Plan& plan, AccountId account) {
  return CapsAbove(plan, account, [&](AccountId a) {
    return static_cast<double>(plan.world.accounts()[a].guarantee);
  });
}

std::vector<int64_t> CapsForStraddlers(const Plan& plan, AccountId account) {
  std::vector<int64_t> caps = CapsAboveGuarantee(plan, account);
  for (int64_t& cap : caps) {
    if (cap > 0) cap = plan.world.fleet().usable();
  }
  return caps;
}

namespace {

// One class as a VictimJob without its loss, or nothing to give to this claimant.
std::optional<VictimJob> AsVictim(const Plan& plan, const Claimant& c, const VictimClass& kind,
                                  AccountId base, bool same_team) {
  VictimJob v{.team = static_cast<int>(kind.account - base), .slots = kind.slots};
  v.can_shrink = kind.can_shrink;
  v.pause_slot_s = plan.policy.pause_price.seconds() * kind.slots;
  v.can_pause = kind.checkpointable && c.may_pause && !same_team;
  v.can_break =
      !kind.checkpointable && c.may_pause && c.may_break && plan.policy.break_jobs && !same_team;
  if (!v.can_pause && !v.can_break && v.can_shrink == 0) return std::nullopt;
  return v;
}

}  // namespace

std::vector<Victim> FindVictims(const Plan& plan, const Claimant& c) {
  const World& world = plan.world;
  if (c.need.slots <= 0) return {};
  const AccountId base = world.AccountOf(0, plan.pool(c.pool).type);
  std::vector<VictimTeam> teams;
  for (size_t t = 0; t < world.teams().size(); ++t) {
    const AccountId id = base + static_cast<AccountId>(t);
    const Account& a = world.accounts()[id];
    const double owed = OwedSlots(world.teams()[t].credit_slot_s, plan.policy.share_half_life_s);
    teams.push_back({a.parent < 0 ? -1 : a.parent - base, c.caps[id],
                     static_cast<double>(a.lent + (c.lent.empty() ? 0 : c.lent[id])) + owed,
                     plan.turn.entitled(id)});
  }
  // Jobs of a class differ only in what they lose, so an optimum takes the cheapest of them, and no
  // more than it takes to give all of the need in either way; and none that alone costs more than
  // some choice of the cheapest of each class does.
  const auto gather = [&](bool heads, const VictimCost* most_cost, int64_t* most) {
    std::vector<std::pair<JobId, VictimJob>> found;
    const auto too_dear = [&](int64_t broken, double slot_s) {
      return most_cost != nullptr && Less(*most_cost, {broken, slot_s});
    };
    const auto& all = world.victim_heads();
    for (auto at = all.lower_bound({.kind = {.pool = c.pool}});
         at != all.end() && at->kind.pool == c.pool; ++at) {
      const VictimClass& kind = at->kind;
      if (c.caps[kind.account] <= 0) continue;
      const bool same_team = c.team >= 0 && kind.account == world.AccountIn(c.team, c.pool);
      const auto like = AsVictim(plan, c, kind, base, same_team);
      if (!like) continue;
      const bool whole = like->can_pause || like->can_break;
      const auto enough = [&](int64_t gives) {
        return gives <= 0 ? 0 : (c.need.slots + gives - 1) / gives;
      };
      int64_t k = heads ? 1 : enough(like->can_shrink) + (whole ? enough(like->slots) : 0);
      // False: nor do those behind it, which lose more.
      const auto take = [&](const LossKey& key) {
        if (same_team && world.job(key.job).priority > c.priority) return true;
        VictimJob v = *like;
        v.lost_slot_s = world.LostWork(key, kind.slots);
        if (too_dear(0, v.lost_slot_s)) v.can_shrink = 0;
        if (too_dear(0, v.lost_slot_s + v.pause_slot_s)) v.can_pause = false;
        if (too_dear(1, v.lost_slot_s)) v.can_break = false;
        if (v.can_shrink == 0 && !v.can_pause && !v.can_break) return false;
        *most += whole ? v.slots : v.can_shrink;
        found.emplace_back(key.job, v);
        return --k > 0;
      };
      if (!take(at->first)) continue;
      const BlockSet<LossKey>& alike = world.stoppable().find(kind)->second;
      for (auto it = ++alike.begin(); it != alike.end() && take(*it); ++it) {
      }
    }
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    return found;
  };
  const auto jobs_of = [](const std::vector<std::pair<JobId, VictimJob>>& found) {
    std::vector<VictimJob> jobs;
    for (const auto& [id, v] : found) jobs.push_back(v);
    return jobs;
  };
  int64_t most = 0;
  VictimCost ceiling;
  bool has_ceiling = false;
  {
    const std::vector<VictimJob> heads = jobs_of(gather(true, nullptr, &most));
    if (heads.empty()) return {};
    const std::vector<Victim> some =
        ChooseVictimsQuickly(teams, heads, c.need, plan.policy.spread_slot_s);
    int64_t given = 0;
    for (const Victim& v : some) given += v.give;
    has_ceiling = given >= c.need.slots;
    ceiling = CostOf(teams, heads, some, plan.policy.spread_slot_s);
  }
  most = 0;
  const auto found = gather(false, has_ceiling ? &ceiling : nullptr, &most);
  if (found.empty() || (c.need.offset + most) / c.need.unit <= c.need.offset / c.need.unit) {
    return {};
  }
  std::vector<Victim> victims =
      ChooseVictims(teams, jobs_of(found), c.need, plan.policy.spread_slot_s);
  for (Victim& v : victims) v.job = found[v.job].first;
  return victims;
}

}  // namespace weir::sched
