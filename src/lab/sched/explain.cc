#include "lab/sched/explain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lab/sched/sizing.h"

namespace weir::sched {
namespace {

using Outcome = JobNote::Outcome;

void Say(Explanation* e, std::string kind, std::string text, std::string remedy) {
  e->blockers.push_back({std::move(kind), std::move(text), std::move(remedy)});
}

Duration Left(const World& world, Time at) { return std::max(at - world.now(), Duration{}); }

// What the pools look like to a job that waits.
struct Sight {
  std::vector<PoolId> suits;
  int64_t largest = 0;     // usable slots of the biggest pool that suits
  int64_t free = 0;        // free slots of the one with the most
  PoolId best = -1;        // that one
  int64_t not_usable = 0;  // in pools that suit
  int64_t elsewhere = 0;   // free slots of the pool with the most that does not suit
  PoolId other = -1;
};

Sight Look(const World& world, const Shape& shape) {
  Sight s;
  for (PoolId p = 0; p < std::ssize(world.fleet().pools()); ++p) {
    const Fleet::Pool& pool = world.fleet().pools()[p];
    if (!world.fleet().Suits(shape, p)) {
      if (pool.free > s.elsewhere) {
        s.elsewhere = pool.free;
        s.other = p;
      }
      continue;
    }
    s.suits.push_back(p);
    s.largest = std::max(s.largest, pool.slots);
    s.not_usable += pool.not_usable;
    if (s.best < 0 || pool.free > s.free) {
      s.free = pool.free;
      s.best = p;
    }
  }
  return s;
}

// Until running jobs that tell their end will have freed `missing` slots; who they are.
std::optional<Duration> UntilFreed(const World& world, const Sight& sight, int64_t missing,
                                   std::vector<std::string>* who) {
  std::optional<Duration> soonest;
  for (const PoolId p : sight.suits) {
    int64_t freed = 0;
    std::vector<std::string> names;
    for (const EndRow& end : world.ends()[p]) {
      freed += end.slots;
      if (names.size() < kWaitsForShown) names.push_back(world.JobName(end.job));
      if (freed < missing) continue;
      if (!soonest || Left(world, end.at) < *soonest) {
        soonest = Left(world, end.at);
        *who = names;
      }
      break;
    }
  }
  return soonest;
}

// Jobs of its own queue, or of its team's others, that go before it.
int64_t Before(const World& world, JobId id) {
  const Job& job = world.job(id);
  int64_t n = 0;
  std::optional<WaitKey> own;
  for (const int q : world.queues_of(job.team)) {
    for (const WaitKey& key : world.queues()[q].jobs) {
      if (key.job == id) own = key;
    }
  }
  if (!own) return 0;
  for (const int q : world.queues_of(job.team)) {
    const auto& jobs = world.queues()[q].jobs;
    n += std::distance(jobs.begin(), jobs.lower_bound(*own));
  }
  return n;
}

void ExplainWaiting(World& world, const Notes& notes, JobId id, Explanation* e) {
  const Job& job = world.job(id);
  const int64_t m = job.min_slots;
  const Shape& shape = world.shape(job.shape);
  if (world.draining()) {
    Say(e, "draining", "the lab is shutting down and starts nothing", "start `weir up` again");
  }
  const bool research =
      job.team >= 0 && world.teams()[job.team].team_class == wire::TeamClass::kResearch;
  if (!research) {
    Say(e, "quota",
        job.team < 0 ? "its team is not known"
                     : fmt::format("team {} is a product team, which runs services, not jobs",
                                   world.teams()[job.team].name),
        "submit it for a research team, see `weir team list`");
    return;
  }
  const std::string& team = world.teams()[job.team].name;
  if (job.not_before > world.now()) {
    const Duration left = job.not_before - world.now();
    Say(e, "backoff", fmt::format("its last run failed; it is tried again in {}", Human(left)),
        "wait, or cancel it and submit it corrected");
    e->expected_wait = left;
  }
  if (job.hold == Hold::kBudget) {
    Say(e, "budget", fmt::format("team {} or its user has used up a budget", team),
        "raise it with `weir team put`");
    e->cheapest = fmt::format("a higher budget for team {}", team);
  }
  const Sight sight = Look(world, shape);
  if (sight.suits.empty()) {
    Say(e, "type", "no node of the lab is of a site and accelerator type that it asks for",
        "name others with --type or --site; `weir status` lists what there is");
    if (sight.elsewhere >= m) {
      e->cheapest =
          fmt::format("on type {} it would start now: {} slots are free",
                      world.types()[world.fleet().pools()[sight.other].type], sight.elsewhere);
    }
    return;
  }
  if (m > sight.largest) {
    Say(e, "gang",
        fmt::format("it needs {} slots at once, and the biggest site has {} that can be used", m,
                    sight.largest),
        sight.not_usable > 0
            ? fmt::format("bring back the {} slots that are cordoned or down, or lower its least "
                          "number of slots",
                          sight.not_usable)
            : "lower its least number of slots, or add nodes to a site");
  }
  const auto it = notes.jobs.find(id);
  const JobNote note = it == notes.jobs.end() ? JobNote{} : it->second;
  if (note.outcome == Outcome::kSlotsComing) {
    Say(e, "capacity",
        fmt::format("{} slots are being freed for it: others are saving and stopping", m),
        "none needed");
    return;
  }
  if (!e->blockers.empty() && m <= sight.largest) return;
  const AccountId a = world.AccountIn(job.team, sight.best);
  const Account& account = world.accounts()[a];
  Turn turn(&world);
  const int64_t held = turn.held(a);
  const int64_t free = std::max(sight.free, note.saw_free);
  if (note.over_borrow_limit || !turn.MayBorrow(a, m)) {
    Say(e, "quota",
        fmt::format("team {} holds {} slots and may hold {} beyond the {} that it is guaranteed",
                    team, held, account.borrow_limit, account.guarantee),
        fmt::format("raise borrow_limit_slots or guarantee_slots of team {}", team));
    if (free >= m) {
      e->cheapest =
          fmt::format("borrow_limit_slots {} for team {}", held + m - account.guarantee, team);
    }
  }
  if (note.may_not_borrow) {
    Say(e, "quota",
        fmt::format(
            "{} slots are free, but team {} holds {} of a share of {:.1f} and running jobs of "
            "other teams below theirs are about to grow into them",
            free, team, held, turn.entitled(a)),
        fmt::format("raise the weight or guarantee of team {}, or wait: after {} it may have them",
                    team, Human(world.policy().gang_hold_after)));
    return;
  }
  const int64_t ahead = Before(world, id);
  if (ahead > 0) {
    Say(e, "order",
        fmt::format("{} jobs of team {} go before it: of higher priority, paused, or waiting for "
                    "longer",
                    ahead, team),
        "raise its priority above theirs");
  }
  if (note.delays >= 0 && world.HasJob(note.delays)) {
    const Duration run = note.delays_for;
    Say(e, "reservation",
        fmt::format("{} slots are free but kept for {}, which is to start in about {}; this one {}",
                    free, world.JobName(note.delays), Human(Left(world, note.delays_until)),
                    run.us > 0 ? fmt::format("may run for {}", Human(run))
                               : std::string("may run for longer: nothing is known of its length")),
        "give it a time limit that ends before that");
    if (e->cheapest.empty()) {
      e->cheapest = fmt::format("a time limit below {}", Human(Left(world, note.delays_until)));
    }
  } else if (free >= m && m <= sight.largest &&
             world.fleet().Find(sight.best, m, shape, {}, turn.NeededUntil(job, m)).empty()) {
    Say(e, "topology",
        fmt::format("{} slots are free, but not {} of them within one {}{}{}", free, m,
                    NameOf(shape.widest == Level::kSite ? Level::kNode : shape.widest),
                    shape.whole_nodes ? " on whole free nodes" : "",
                    shape.avoid.empty() ? "" : " outside of the nodes that it avoids"),
        "allow a wider spread, or fewer slots");
    Shape wider = shape;
    wider.widest = Level::kSite;
    const Places would = world.fleet().Find(sight.best, m, wider);
    if (!would.empty()) {
      const Spread spread = world.fleet().SpreadOf(would);
      e->cheapest = fmt::format(
          "a spread over one {} would start it now, with {:.3g} GB/s a slot between its nodes, "
          "{:.0f}% less than its size could have",
          NameOf(spread.level), spread.gb_per_s, 100 * spread.lost);
    }
  } else {
    Say(e, m > 1 && free > 0 ? "gang" : "capacity",
        fmt::format("it needs {} slots at once; {} are free on the best site", m, free),
        note.reserved.is_set()
            ? fmt::format("none needed: {} slots are kept for it from in about {} on", m,
                          Human(Left(world, note.reserved)))
        : note.collecting ? "none needed: free slots are kept for it as they come"
                          : "lower its least number of slots, or wait for running work to end");
  }
  const int64_t missing = std::max<int64_t>(m - free, 1);
  if (e->cheapest.empty() && free > 0 && free < m && ahead == 0) {
    e->cheapest = fmt::format("with {} slots instead of {} it would start now", free, m);
  }
  if (e->cheapest.empty() && sight.elsewhere >= m) {
    e->cheapest =
        fmt::format("on type {} it would start now: {} slots are free",
                    world.types()[world.fleet().pools()[sight.other].type], sight.elsewhere);
  }
  e->expected_wait = UntilFreed(world, sight, missing, &e->waits_for);
  for (const JobId other : note.waits_for) {
    if (e->waits_for.size() < kWaitsForShown && world.HasJob(other) &&
        std::find(e->waits_for.begin(), e->waits_for.end(), world.JobName(other)) ==
            e->waits_for.end()) {
      e->waits_for.push_back(world.JobName(other));
    }
  }
  if (note.reserved.is_set()) e->expected_wait = Left(world, note.reserved);
  if (sight.not_usable > 0) {
    Say(e, "health", fmt::format("{} slots are cordoned or down", sight.not_usable),
        "see `weir status`, and uncordon what is well again");
    if (e->cheapest.empty() && sight.not_usable >= missing) {
      e->cheapest = fmt::format("{} of the {} slots that are cordoned or down brought back",
                                missing, sight.not_usable);
    }
  }
  if (world.out_on_loan() > 0) {
    Say(e, "lent",
        fmt::format("{} slots are out on loan to product, {} of them from team {}",
                    world.out_on_loan(), account.lent, team),
        "recall a loan with `weir loan recall`, or lower lend_limit_slots");
    std::optional<Duration> next_return;
    for (const auto& [loan_id, loan] : world.loans()) {
      const Duration left = Left(world, loan.due);
      if (!next_return || left < *next_return) next_return = left;
    }
    if (missing <= world.out_on_loan()) {
      if (e->cheapest.empty()) {
        e->cheapest = fmt::format("a recall of {} of the slots that are out on loan", missing);
      }
      if (next_return && (!e->expected_wait || *next_return < *e->expected_wait)) {
        e->expected_wait = next_return;
      }
    }
  }
  if (note.costs_slot_s > 0) {
    const double missing_s = (note.costs_slot_s - note.paid_slot_s) / static_cast<double>(m);
    Say(e, "cost",
        fmt::format("room for it would cost others {:.3g} slot-seconds of work, and its waiting "
                    "has cost {:.3g} so far: nobody is stopped for it before that is as much",
                    note.costs_slot_s, note.paid_slot_s),
        fmt::format("wait {} more, or until others have saved; or raise guarantee_slots of team "
                    "{}: what is guaranteed is given back at once",
                    Human(Duration::FromSeconds(std::clamp(missing_s, 1.0, 1e9))), team));
  } else if (note.loses_too_much >= 0 && world.HasJob(note.loses_too_much)) {
    Say(e, "cost",
        fmt::format("room for it would cost {} more than {:.3g} of the time that it has run, which "
                    "is the most that research takes from research",
                    world.JobName(note.loses_too_much), world.policy().lose_share),
        fmt::format("wait until that one has saved, or raise guarantee_slots of team {}", team));
  }
  if (!turn.WithinShare(a, m) && !turn.Guaranteed(a, m)) {
    Say(e, "quota",
        fmt::format(
            "team {} holds {} slots, its share is {:.1f} and its guarantee {}: with {} more "
            "it would be beyond both, so nobody is stopped for it",
            team, held, turn.entitled(a), account.guarantee, m),
        fmt::format("raise guarantee_slots or weight of team {}", team));
    if (e->cheapest.empty()) {
      e->cheapest = fmt::format("guarantee_slots {} for team {}: others would be stopped for it",
                                held + m, team);
    }
  }
  if (world.product_running() > 0) {
    Say(e, "floor",
        fmt::format("product holds {} slots of the {} that it is guaranteed",
                    world.product_running(), world.product_guarantee()),
        "lower min_replicas of a service, or the product team's guarantee_slots");
  }
}

void ExplainRunning(const World& world, JobId id, Explanation* e) {
  const Job& job = world.job(id);
  if (job.phase == RunPhase::kStopping || job.team < 0) {
    e->could_take_away = job.team < 0 ? "its team is not known" : "it is stopping already";
    return;
  }
  const PoolId pool = world.PoolOf(job.places);
  if (pool < 0) {
    e->could_take_away = "its nodes are gone from the lab";
    return;
  }
  const Account& a = world.accounts()[world.AccountIn(job.team, pool)];
  const int64_t slots = SlotsIn(job.places);
  const std::string loss = fmt::format("at the price of {:.3g} slot-seconds", world.LostWork(id));
  const std::string limit = a.lend_limit < 0 ? "no limit" : fmt::format("{}", a.lend_limit);
  if (!world.MayBeStopped(id)) {
    e->could_take_away = fmt::format("nothing for its first {}", Human(world.policy().min_run));
  } else if (!job.checkpointable) {
    e->could_take_away = world.policy().break_jobs
                             ? fmt::format(
                                   "a loan, a floor or a guarantee of another team, once no "
                                   "job that can be checkpointed is left to ask, {}",
                                   loss)
                             : "nothing: it cannot be checkpointed and break_jobs is off";
  } else if (slots > job.min_slots) {
    e->could_take_away = fmt::format(
        "{} of its {} slots: a loan ({} lent of {}), a product floor, or a job of its own team or "
        "of one below its share, {}",
        slots - job.min_slots, slots, a.lent, limit, loss);
  } else {
    e->could_take_away = fmt::format(
        "a pause for a loan ({} lent of {}), a product floor, or a team below its share, {}",
        a.lent, limit, loss);
  }
  const Spread spread = world.fleet().SpreadOf(job.places);
  if (spread.nodes > 1) {
    e->why_here = fmt::format(
        "its {} slots are on {} nodes of one {}: {:.3g} GB/s a slot between them{}", slots,
        spread.nodes, NameOf(spread.level), spread.gb_per_s,
        spread.lost > 0 ? fmt::format(", {:.0f}% less than its size could have", 100 * spread.lost)
                        : "");
  } else {
    e->why_here = fmt::format(
        "its {} slots are on one node: the one with the fewest free slots "
        "that held them, so that whole nodes stay free",
        slots);
  }
}

}  // namespace

Explanation ExplainJob(World& world, const Notes& notes, JobId id) {
  Explanation e{.subject = world.JobName(id)};
  const RunPhase phase = world.job(id).phase;
  if (phase == RunPhase::kRunning || phase == RunPhase::kStopping) {
    ExplainRunning(world, id, &e);
  } else {
    ExplainWaiting(world, notes, id, &e);
  }
  return e;
}

std::optional<Explanation> ExplainService(const World& world, const Notes& notes, ServiceId id) {
  const ServiceState& s = world.services()[id];
  const wire::ServiceSpec& spec = s.service.spec;
  const auto it = notes.services.find(id);
  const ServiceNote note = it == notes.services.end() ? ServiceNote{} : it->second;
  int64_t ready = 0, starting = 0;
  for (const auto& [replica, r] : world.replicas()) {
    if (r.service != id || r.stopping || r.replaces >= 0) continue;
    (r.ready ? ready : starting) += 1;
  }
  const Policy& policy = world.policy();
  const int64_t wanted = WantedReplicas(s, ready, policy);
  if (s.service.phase != wire::ServicePhase::kActive) return std::nullopt;
  if (ready >= wanted && note.unmet == 0 && s.service.shed_above_tier == 0) return std::nullopt;
  Explanation e{.subject = s.service.id};
  const Demand& d = s.demand;
  if (world.draining()) {
    Say(&e, "draining", "the lab is shutting down and starts nothing", "start `weir up` again");
  }
  const TeamId team = world.TeamOf(spec.team);
  if (team < 0) {
    Say(&e, "quota", fmt::format("team {} is not known", spec.team), "create the team");
    return e;
  }
  if (starting > 0) {
    Say(&e, "capacity", fmt::format("{} of {} replicas are starting", starting, wanted),
        "none needed");
    e.expected_wait = s.replica_startup;
  }
  if (s.start_not_before > world.now()) {
    const Duration left = s.start_not_before - world.now();
    Say(&e, "backoff",
        fmt::format("replicas did not become ready; the next one starts in {}", Human(left)),
        "see the log of its last replica with `weir service logs`");
    e.expected_wait = left;
  }
  if (note.short_of_floor > 0) {
    int64_t held = 0, guarantee = 0;
    for (size_t type = 0; type < world.types().size(); ++type) {
      const Account& a = world.accounts()[world.AccountOf(team, static_cast<int32_t>(type))];
      held += a.running;
      guarantee += a.guarantee;
    }
    Say(&e, "floor",
        fmt::format(
            "{} of its least {} replicas have no slots: team {} holds {} slots of the {} that "
            "it is guaranteed",
            note.short_of_floor, spec.min_replicas, spec.team, held, guarantee),
        fmt::format("raise guarantee_slots of team {}, or lower min_replicas", spec.team));
  }
  if (!note.surging && d.above_since.is_set()) {
    Say(&e, "capacity",
        fmt::format("demand has been above what is ready for {}; after {} it is a surge",
                    Human(world.now() - d.above_since), Human(policy.surge_after)),
        "none needed");
  }
  if (note.unmet > 0) {
    if (ReplicasFor(s, ready, policy) > spec.max_replicas) {
      Say(&e, "capacity",
          fmt::format("{:.3g} requests/s need more than its {} replicas at most", Load(d, policy),
                      spec.max_replicas),
          "raise max_replicas");
    }
    Say(&e, "lend_limit",
        note.refused.empty()
            ? fmt::format("{} replicas of {} slots find none: {} slots are out on loan", note.unmet,
                          std::max<int64_t>(spec.slots_per_replica, 1), world.out_on_loan())
            : note.refused,
        "raise lend_limit_slots or loan_limit_slots, or the product team's guarantee");
  }
  if (note.not_pressing > 0) {
    const Duration lasts = policy.surge_after + s.replica_startup;
    Say(&e, "cost",
        fmt::format("{} more replicas would need running jobs to stop, which is not worth it yet: "
                    "used to the full, those that there are do; jobs are stopped once the demand "
                    "has lasted as long as a replica takes to start, {}",
                    note.not_pressing, Human(lasts)),
        "none needed: they start at once on slots that come free; or raise the product team's "
        "guarantee_slots");
  }
  if (s.service.shed_above_tier > 0) {
    Say(&e, "capacity",
        fmt::format("requests of tiers above {} are refused", s.service.shed_above_tier),
        "it ends by itself once the demand fits");
  }
  return e;
}

Explanation ExplainLoan(const World& world, LoanId id, const std::string& name) {
  Explanation e{.subject = name};
  const Loan& loan = world.loans().at(id);
  if (!loan.open) {
    e.could_take_away = "it is on its way back: its replicas drain";
    if (loan.service >= 0) e.expected_wait = world.services()[loan.service].service.spec.grace;
    return e;
  }
  int64_t all = 0, waits = 0;  // slots in a lease that is not one of its replicas
  for (const LoanShare& share : loan.shares) {
    for (const SlotId slot : SlotIds(share.places)) {
      ++all;
      waits += world.fleet().Held(slot);
    }
  }
  for (const auto& [replica, r] : world.replicas()) {
    if (r.loan == id && r.replaces < 0) waits -= SlotsIn(r.places);
  }
  if (waits > 0) {
    Say(&e, "capacity", fmt::format("{} of its {} slots are still being freed", waits, all),
        "none needed");
  }
  e.could_take_away =
      fmt::format("demand below the low mark for {}, its due time in {}, or `weir loan recall`",
                  Human(world.policy().calm_after), Human(Left(world, loan.due)));
  return e;
}

}  // namespace weir::sched
