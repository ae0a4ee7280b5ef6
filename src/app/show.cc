#include "app/show.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/units.h"

namespace weir::app {

namespace {

std::string Or(const std::string& text, const char* otherwise = "-") {
  return text.empty() ? otherwise : text;
}
std::string Ago(Time then, Time now) {
  return then.is_set() ? Human(Duration::Seconds(std::max<int64_t>(0, (now - then).us) / 1'000'000))
                       : "-";
}
std::string Range(int64_t low, int64_t high) {
  return low == high ? std::to_string(low) : fmt::format("{}..{}", low, high);
}
std::string Joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}
std::string Millis(double ms) { return ms > 0 ? fmt::format("{:.0f} ms", ms) : "-"; }
std::string Loss(const std::optional<double>& loss) {
  return loss ? fmt::format("{:.3f}", *loss) : "-";
}

Colour ColourOf(wire::JobPhase phase) {
  switch (phase) {
    case wire::JobPhase::kRunning:
      return Colour::kGreen;
    case wire::JobPhase::kQueued:
    case wire::JobPhase::kPaused:
      return Colour::kYellow;
    case wire::JobPhase::kFailed:
      return Colour::kRed;
    case wire::JobPhase::kDone:
    case wire::JobPhase::kCancelled:
      return Colour::kDim;
  }
  return Colour::kNone;
}

std::string StepOf(const wire::Job& job) {
  if (!job.progress) return "-";
  const wire::Progress& p = *job.progress;
  return p.steps > 0 ? fmt::format("{}/{}", p.step, p.steps) : std::to_string(p.step);
}

// "name: value" lines, the values under each other.
class Facts {
 public:
  void Add(const std::string& name, const std::string& value) {
    if (!value.empty() && value != "-") facts_.emplace_back(name, value);
  }
  std::string Print(const Style& style) const {
    size_t width = 0;
    for (const auto& [name, value] : facts_) width = std::max(width, name.size());
    std::string out;
    for (const auto& [name, value] : facts_) {
      out += style.Paint(fmt::format("{:<{}}", name, width + 2), Colour::kDim) + Printable(value) +
             "\n";
    }
    return out;
  }

 private:
  std::vector<std::pair<std::string, std::string>> facts_;
};

struct Counted {
  int64_t total = 0, idle = 0, research = 0, product = 0, loaned = 0, away = 0;
};

Counted CountSlots(const wire::LabView& view) {
  Counted n;
  std::map<std::string, wire::TeamClass> classes;
  for (const wire::Team& team : view.teams) classes[team.name] = team.team_class;
  std::map<std::string, const wire::Lease*> held;
  for (const wire::Lease& lease : view.leases) {
    for (const std::string& slot : lease.slots) held[slot] = &lease;
  }
  for (const wire::Slot& slot : view.slots) {
    ++n.total;
    const auto it = held.find(slot.id);
    if (it == held.end())
      ++(slot.health == wire::SlotHealth::kUp ? n.idle : n.away);
    else if (!it->second->loan.empty())
      ++n.loaned;
    else
      ++(classes[it->second->team] == wire::TeamClass::kProduct ? n.product : n.research);
  }
  return n;
}

// One letter a slot: R research, P product, L lent to product, . idle, x cordoned or down.
std::string SlotMap(const wire::LabView& view, const Style& style) {
  std::map<std::string, wire::TeamClass> classes;
  for (const wire::Team& team : view.teams) classes[team.name] = team.team_class;
  std::map<std::string, const wire::Lease*> held;
  for (const wire::Lease& lease : view.leases) {
    for (const std::string& slot : lease.slots) held[slot] = &lease;
  }
  std::string out;
  std::string node;
  for (const wire::Slot& slot : view.slots) {
    const std::string here = slot.site + "/" + slot.node;
    if (here != node) {
      out += (out.empty() ? "" : "\n") + fmt::format("  {}  ", Printable(here));
      node = here;
    }
    const auto it = held.find(slot.id);
    if (it == held.end()) {
      out += slot.health == wire::SlotHealth::kUp ? "." : style.Paint("x", Colour::kRed);
    } else if (!it->second->loan.empty()) {
      out += style.Paint("L", Colour::kMagenta);
    } else if (classes[it->second->team] == wire::TeamClass::kProduct) {
      out += style.Paint("P", Colour::kBlue);
    } else {
      out += style.Paint("R", Colour::kGreen);
    }
  }
  return out + "\n";
}

}  // namespace

std::string ShowJobs(const std::vector<wire::Job>& jobs, Time now, const Style& style) {
  if (jobs.empty()) return "no jobs; `weir job submit --help` shows how to begin one\n";
  Table table({"JOB", "NAME", "TEAM", "PHASE", ">SLOTS", ">STEP", ">LOSS", ">AGE", "REASON"});
  for (const wire::Job& job : jobs) {
    table.Add({job.id,
               job.spec.name,
               job.spec.team,
               {std::string(wire::NameOf(job.phase)), ColourOf(job.phase)},
               fmt::format("{} of {}", job.slots, Range(job.spec.min_slots, job.spec.max_slots)),
               StepOf(job),
               Loss(job.progress ? job.progress->loss : std::nullopt),
               Ago(job.submitted, now),
               job.reason});
  }
  return table.Print(style);
}

std::string ShowJob(const wire::Job& job, Time now, const Style& style) {
  Facts facts;
  facts.Add("job", fmt::format("{} ({})", job.spec.name, job.id));
  facts.Add("team", job.spec.team);
  facts.Add("phase", fmt::format("{}{}", wire::NameOf(job.phase),
                                 job.reason.empty() ? "" : ": " + job.reason));
  facts.Add("command", Joined(job.spec.command));
  facts.Add("folder", job.spec.cwd);
  facts.Add("slots",
            fmt::format("{} of {}{}", job.slots, Range(job.spec.min_slots, job.spec.max_slots),
                        job.spec.checkpointable ? ", checkpointable" : ""));
  facts.Add("submitted", fmt::format("{} by {}", Human(job.submitted), Or(job.submitted_by)));
  if (job.started.is_set()) facts.Add("started", Human(job.started));
  if (job.ended.is_set()) facts.Add("ended", Human(job.ended));
  facts.Add("runs", fmt::format("{}, of which {} failed; {} retries allowed", job.attempts,
                                job.failures, job.spec.max_retries));
  if (job.not_before > now) facts.Add("waits until", Human(job.not_before));
  if (job.progress) {
    const wire::Progress& p = *job.progress;
    facts.Add("step", StepOf(job));
    facts.Add("loss", Loss(p.loss));
    facts.Add("held-out loss", Loss(p.heldout_loss));
    if (p.tokens_per_s) facts.Add("speed", HumanCount(*p.tokens_per_s) + " tokens/s");
    if (p.mfu) facts.Add("mfu", fmt::format("{:.1f}%", *p.mfu * 100));
    if (p.eta_s) facts.Add("time left", Human(Duration::FromSeconds(*p.eta_s)));
  }
  if (job.checkpoint)
    facts.Add("checkpoint",
              fmt::format("step {} in {}", job.checkpoint->step, job.checkpoint->path));
  facts.Add("used", fmt::format("{:.1f} slot-seconds", job.slot_s));
  if (job.lost_slot_s > 0 || job.lost_steps > 0)
    facts.Add("lost",
              fmt::format("{:.1f} slot-seconds, {} steps", job.lost_slot_s, job.lost_steps));
  if (job.exit_code) facts.Add("exit code", std::to_string(*job.exit_code));
  std::string out = facts.Print(style);
  if (!job.last_lines.empty()) {
    out += style.Paint("last lines", Colour::kDim) + "\n";
    for (const std::string& line : job.last_lines) out += "  " + Printable(line) + "\n";
  }
  return out;
}

std::string ShowServices(const std::vector<wire::ServiceView>& services, const Style& style) {
  if (services.empty()) return "no services; `weir service create --help` shows how to begin one\n";
  Table table({"SERVICE", "TEAM", "SERVES", ">REPLICAS", ">REQ/S", ">QUEUED", ">TTFT", ">TPOT",
               "SLO", "REASON"});
  for (const wire::ServiceView& s : services) {
    const wire::ServiceSpec& spec = s.service.spec;
    table.Add(
        {spec.name,
         spec.team,
         Or(!s.service.version.empty() ? s.service.version : spec.model,
            spec.command.empty() ? "-" : spec.command[0].c_str()),
         fmt::format("{} of {}", s.ready, Range(spec.min_replicas, spec.max_replicas)),
         fmt::format("{:.1f}", s.traffic.arrivals_per_s),
         std::to_string(s.traffic.queued),
         Millis(s.traffic.ttft_ms),
         Millis(s.traffic.tpot_ms),
         {s.traffic.slo_met ? "met" : "missed", s.traffic.slo_met ? Colour::kGreen : Colour::kRed},
         s.service.reason});
  }
  return table.Print(style);
}

std::string ShowService(const wire::ServiceView& view, const Style& style) {
  const wire::ServiceSpec& spec = view.service.spec;
  Facts facts;
  facts.Add("service", fmt::format("{} ({})", spec.name, view.service.id));
  facts.Add("team", spec.team);
  facts.Add("phase", fmt::format("{}{}", wire::NameOf(view.service.phase),
                                 view.service.reason.empty() ? "" : ": " + view.service.reason));
  facts.Add("model", spec.model);
  const bool variant = view.service.version != view.own_version && !view.own_version.empty();
  facts.Add("version", variant ? fmt::format("{}, a variant of {} while a surge lasts",
                                             view.service.version, view.own_version)
                               : view.service.version);
  facts.Add("variants", fmt::format("{}", fmt::join(spec.variants, ", ")));
  facts.Add("engine", Joined(spec.engine));
  facts.Add("rollout", view.service.rollout);
  facts.Add("command", Joined(spec.command));
  facts.Add("replicas", fmt::format("{} ready, {} starting, {} draining; {} wanted, {} allowed",
                                    view.ready, view.starting, view.draining, view.wanted,
                                    Range(spec.min_replicas, spec.max_replicas)));
  facts.Add("slo", fmt::format("p{:g}: first token in {}, then {} a token; at most {} queued",
                               spec.slo.percentile, Millis(spec.slo.ttft_ms),
                               Millis(spec.slo.tpot_ms), Millis(spec.slo.queue_ms)));
  facts.Add("measured",
            fmt::format("first token in {}, then {} a token: {}", Millis(view.traffic.ttft_ms),
                        Millis(view.traffic.tpot_ms), view.traffic.slo_met ? "met" : "missed"));
  facts.Add(
      "traffic",
      fmt::format("{:.1f} requests/s, {:.1f} forecast, {:.1f} can be served; {} at replicas, "
                  "{} queued",
                  view.traffic.arrivals_per_s, view.traffic.forecast_per_s,
                  view.traffic.capacity_per_s, view.traffic.outstanding, view.traffic.queued));
  if (view.traffic.refused_per_s > 0)
    facts.Add("refused", fmt::format("{:.1f} requests/s", view.traffic.refused_per_s));
  facts.Add("tier", std::to_string(spec.tier));
  return facts.Print(style);
}

std::string ShowLoans(const std::vector<wire::Loan>& loans, Time now, const Style& style) {
  if (loans.empty()) return "no loans\n";
  Table table({"LOAN", "SERVICE", "PHASE", ">SLOTS", "FROM", ">DUE IN", ">COST", "WHY"});
  for (const wire::Loan& loan : loans) {
    size_t slots = 0;
    std::string from;
    for (const wire::LoanPart& part : loan.parts) {
      slots += part.slots.size();
      from += (from.empty() ? "" : ", ") +
              fmt::format("{}{} ({})", part.team, part.job.empty() ? "" : "/" + part.job, part.how);
    }
    table.Add({loan.id,
               loan.service,
               {std::string(wire::NameOf(loan.phase)),
                loan.phase == wire::LoanPhase::kReturned ? Colour::kDim : Colour::kMagenta},
               std::to_string(slots),
               from,
               loan.phase == wire::LoanPhase::kReturned ? "-" : Ago(now, loan.due),
               fmt::format("{:.0f} slot-s", loan.cost_slot_s),
               loan.recall_why.empty() ? loan.why : loan.recall_why});
  }
  return table.Print(style);
}

std::string ShowLoan(const wire::Loan& loan, Time now, const Style& style) {
  Facts facts;
  facts.Add("loan", loan.id);
  facts.Add("for", fmt::format("{} of {}", loan.service, loan.team));
  facts.Add("phase", std::string(wire::NameOf(loan.phase)));
  facts.Add("why", loan.why);
  facts.Add("opened", Human(loan.opened));
  if (loan.phase != wire::LoanPhase::kReturned)
    facts.Add("due", fmt::format("{}, in {}", Human(loan.due), Ago(now, loan.due)));
  if (loan.first_ready.is_set()) facts.Add("served since", Human(loan.first_ready));
  if (loan.recalled.is_set())
    facts.Add("recalled", fmt::format("{}: {}", Human(loan.recalled), loan.recall_why));
  if (loan.returned.is_set()) facts.Add("returned", Human(loan.returned));
  facts.Add("cost",
            fmt::format("{:.1f} slot-seconds, {} steps again", loan.cost_slot_s, loan.cost_steps));
  std::string out = facts.Print(style);
  Table table({"LENDER", "JOB", "HOW", "SLOTS", ">LOST"});
  for (const wire::LoanPart& part : loan.parts) {
    table.Add({part.team, Or(part.job), part.how, Joined(part.slots),
               fmt::format("{:.1f} slot-s, {} steps", part.work_lost_slot_s, part.steps_lost)});
  }
  return table.empty() ? out : out + table.Print(style);
}

namespace {

std::string BudgetText(const wire::Team& t) {
  std::string out;
  if (t.budget_slot_h >= 0) out = fmt::format("{:.6g} slot-h", t.budget_slot_h);
  if (t.budget_usd >= 0) out += fmt::format("{}${:.2f}", out.empty() ? "" : ", ", t.budget_usd);
  return Or(out);
}

}  // namespace

std::string ShowQuotas(const wire::LabView& view, const Style& style) {
  if (view.teams.empty()) return ShowTeams(view.teams, style);
  std::map<std::string, std::vector<const wire::Team*>> below;
  std::map<std::string, const wire::QuotaView*> quota;
  std::set<std::string> names;
  for (const wire::Team& t : view.teams) names.insert(t.name);
  for (const wire::Team& t : view.teams) below[names.count(t.parent) ? t.parent : ""].push_back(&t);
  for (const wire::QuotaView& q : view.quotas) quota[q.team] = &q;
  Table table({"TEAM", "CLASS", ">ENTITLED", ">GUARANTEE", ">HOLDS", ">LENT", ">BORROWED",
               ">WAITING", ">USED", "NOTE"});
  const auto add = [&](const auto& self, const std::string& parent, size_t depth) -> void {
    if (depth > view.teams.size()) return;
    for (const wire::Team* t : below[parent]) {
      const auto it = quota.find(t->name);
      const wire::QuotaView q = it == quota.end() ? wire::QuotaView{} : *it->second;
      table.Add(
          {std::string(2 * depth, ' ') + t->name, std::string(wire::NameOf(t->team_class)),
           t->team_class == wire::TeamClass::kProduct ? "-" : fmt::format("{:.1f}", q.entitled),
           std::to_string(q.guarantee), std::to_string(q.held), std::to_string(q.lent),
           std::to_string(q.borrowed), std::to_string(q.waiting),
           fmt::format("{:.1f} slot-h{}", q.used_slot_h,
                       q.used_usd > 0 ? fmt::format(", ${:.2f}", q.used_usd) : ""),
           q.note});
      self(self, t->name, depth + 1);
    }
  };
  add(add, "", 0);
  return table.Print(style);
}

std::string ShowTeams(const std::vector<wire::Team>& teams, const Style& style) {
  if (teams.empty()) return "no teams; `weir team put --help` shows how to make one\n";
  Table table({"TEAM", "CLASS", "PARENT", ">GUARANTEE", ">WEIGHT", ">LENDS AT MOST",
               ">BORROWS AT MOST", ">BUDGET", ">CREDIT"});
  for (const wire::Team& t : teams) {
    table.Add({t.name, std::string(wire::NameOf(t.team_class)), Or(t.parent),
               std::to_string(t.guarantee_slots), std::to_string(t.weight),
               t.lend_limit_slots < 0 ? "all" : std::to_string(t.lend_limit_slots),
               t.borrow_limit_slots < 0 ? "all" : std::to_string(t.borrow_limit_slots),
               BudgetText(t), fmt::format("{:.0f} slot-s", t.credit_slot_s)});
  }
  return table.Print(style);
}

std::string ShowSlots(const wire::LabView& view, const Style& style) {
  if (view.slots.empty()) return "no slots; `weir doctor` says what a site needs\n";
  std::map<std::string, const wire::Lease*> held;
  for (const wire::Lease& lease : view.leases) {
    for (const std::string& slot : lease.slots) held[slot] = &lease;
  }
  Table table({"SLOT", "HEALTH", "HELD BY", "TEAM", "LEASE", "LOAN", "WHY"});
  for (const wire::Slot& slot : view.slots) {
    const auto it = held.find(slot.id);
    const wire::Lease* lease = it == held.end() ? nullptr : it->second;
    table.Add({slot.id,
               {std::string(wire::NameOf(slot.health)),
                slot.health == wire::SlotHealth::kUp ? Colour::kNone : Colour::kRed},
               lease ? Or(lease->service, lease->holder.c_str()) : "-",
               lease ? lease->team : "-",
               lease ? lease->id : "-",
               lease ? Or(lease->loan) : "-",
               slot.why});
  }
  return table.Print(style);
}

namespace {

struct SiteUse {
  int64_t slots = 0, usable = 0, held = 0;
};

std::map<std::string, SiteUse> UseOfSites(const wire::LabView& view) {
  std::map<std::string, SiteUse> use;
  for (const wire::Slot& slot : view.slots) {
    use[slot.site].slots += 1;
    use[slot.site].usable += slot.health == wire::SlotHealth::kUp ? 1 : 0;
  }
  for (const wire::Lease& lease : view.leases) {
    for (const std::string& slot : lease.slots) use[slot.substr(0, slot.find('/'))].held += 1;
  }
  return use;
}

std::string StateOf(const wire::Site& site, Time now) {
  if (!site.reachable)
    return site.unknown_since.is_set() ? "unknown for " + Human(now - site.unknown_since)
                                       : "unknown";
  return site.draining ? "draining" : "answers";
}

}  // namespace

std::string ShowSites(const wire::LabView& view, const Style& style) {
  auto use = UseOfSites(view);
  Table table({"SITE", "DRIVER", "STATE", "PROVIDER", "REGION", ">SLOTS", ">USABLE", ">HELD",
               ">USD/H", "WHY"});
  for (const wire::Site& site : view.sites) {
    const SiteUse& u = use[site.name];
    table.Add({site.name,
               site.driver,
               {StateOf(site, view.now), site.reachable ? Colour::kNone : Colour::kRed},
               Or(site.provider),
               Or(site.region),
               std::to_string(u.slots),
               std::to_string(u.usable),
               std::to_string(u.held),
               fmt::format("{:.2f}", site.price_usd_per_slot_h * static_cast<double>(u.held)),
               site.why});
  }
  return table.Print(style);
}

std::string ShowSite(const wire::SiteSpec& spec, const wire::LabView& view, const Style& style) {
  wire::LabView one = view;
  std::erase_if(one.sites, [&](const wire::Site& site) { return site.name != spec.name; });
  std::string out = ShowSites(one, style);
  const wire::SlurmSite& s = spec.slurm;
  const auto line = [&](const char* what, const std::string& value) {
    if (!value.empty()) out += fmt::format("  {:<14} {}\n", what, value);
  };
  line("cluster", s.cluster);
  line("reached", std::string(wire::NameOf(s.via)) + (s.address.empty() ? "" : " " + s.address));
  line("partition", s.partition);
  line("account", s.account);
  line("qos", s.qos);
  line("reservation", s.reservation);
  line("a slot is", s.gres.empty() ? fmt::format("{} CPUs", s.cpus_per_slot) : "1 " + s.gres);
  line("contract", spec.contract);
  line("price", fmt::format("${:g} for a slot-hour", spec.price_usd_per_slot_h));
  if (spec.quota_slots > 0) line("quota", fmt::format("{} slots", spec.quota_slots));
  line("data at", s.data_at);
  line("unknown after", Human(spec.unknown_after));
  line("lost after", spec.lost_after.us == 0 ? "never" : Human(spec.lost_after));
  return out;
}

std::string ShowChecks(const std::vector<wire::SiteCheck>& checks) {
  std::string out;
  for (const wire::SiteCheck& check : checks) {
    out += fmt::format("{} {:<16} {}\n",
                       check.ok      ? "ok  "
                       : check.fatal ? "BAD "
                                     : "note",
                       check.what, check.said);
    if (!check.ok && !check.hint.empty()) out += fmt::format("     {:<16} -> {}\n", "", check.hint);
  }
  return out;
}

std::string ShowDatasets(const std::vector<wire::Dataset>& datasets, const Style& style) {
  if (datasets.empty()) return "no datasets; `weir dataset build --help` shows how to make one\n";
  Table table({"DATASET", "NAME", ">SIZE", "PATH", "CREATED", "BY"});
  for (const wire::Dataset& d : datasets)
    table.Add({d.id, d.name, HumanBytes(d.bytes), Or(d.path), Human(d.created), Or(d.created_by)});
  return table.Print(style);
}

std::string ShowModels(const std::vector<wire::ModelVersion>& models, const Style& style) {
  if (models.empty()) return "no models yet; a checkpoint that passes the gate becomes one\n";
  Table table({"VERSION", ">HELD-OUT LOSS", ">STEP", "JOB", "PARENT", "GATE", "CREATED"});
  for (const wire::ModelVersion& m : models) {
    table.Add({m.id, Loss(m.heldout_loss), std::to_string(m.step), Or(m.job), Or(m.parent),
               Or(m.gate), Human(m.created)});
  }
  return table.Print(style);
}

std::string ShowKeys(const std::vector<wire::KeyView>& keys, Time now, const Style& style) {
  if (keys.empty()) return "no keys\n";
  Table table({"KEY", "ROLE", "TEAM", "SERVICE", ">TIER", "CREATED", "STATE"});
  for (const wire::KeyView& k : keys) {
    const bool expired = k.expires.is_set() && k.expires <= now;
    table.Add({k.name,
               std::string(wire::NameOf(k.role)),
               Or(k.team),
               Or(k.service),
               k.role == wire::Role::kClient ? std::to_string(k.tier) : "-",
               Human(k.created),
               {k.revoked            ? "revoked"
                : expired            ? "expired " + Human(k.expires)
                : k.expires.is_set() ? "until " + Human(k.expires)
                                     : "good",
                k.revoked || expired ? Colour::kRed : Colour::kNone}});
  }
  return table.Print(style);
}

std::string ShowRecord(const wire::JournalRecord& r, const Style& style) {
  return fmt::format("{}  {}  {}  {}\n", style.Paint(fmt::format("{:>6}", r.seq), Colour::kDim),
                     style.Paint(Human(r.at), Colour::kDim),
                     style.Paint(fmt::format("{:<10}", Printable(r.actor)), Colour::kBlue),
                     Printable(r.text.empty() ? r.type : r.text));
}

std::string ShowWhy(const wire::WhyView& why, const Style& style) {
  std::string out = style.Paint(
      Printable(fmt::format("{} {}{}", why.kind, why.name.empty() ? why.id : why.name,
                            why.name.empty() || why.name == why.id ? "" : " (" + why.id + ")")),
      Colour::kBold);
  out += ": " + Printable(why.now) + "\n";
  if (!why.blockers.empty()) out += "waits for\n";
  for (const wire::BlockerView& b : why.blockers) {
    out += fmt::format("  {}: {}\n", b.kind, Printable(b.text));
    if (!b.remedy.empty()) out += "    what would change it: " + Printable(b.remedy) + "\n";
  }
  if (!why.waits_for.empty())
    out += fmt::format("it is to have the slots of {}\n",
                       Printable(fmt::format("{}", fmt::join(why.waits_for, ", "))));
  if (why.expected_wait_s) {
    out += "expected to start in " + Human(Duration::FromSeconds(*why.expected_wait_s));
    if (why.latest_wait_s && *why.latest_wait_s > *why.expected_wait_s)
      out += ", in " + Human(Duration::FromSeconds(*why.latest_wait_s)) + " at the latest";
    out += "\n";
  }
  if (!why.cheapest.empty()) out += "cheapest change: " + Printable(why.cheapest) + "\n";
  if (!why.why_here.empty()) out += "why here: " + Printable(why.why_here) + "\n";
  if (!why.could_change.empty()) out += "could change: " + Printable(why.could_change) + "\n";
  if (!why.history.empty()) out += "from the journal\n";
  for (const wire::JournalRecord& record : why.history) {
    out += ShowRecord(record, style);
    std::string numbers;
    if (record.numbers.is_object()) {
      for (const auto& [name, value] : record.numbers.items())
        numbers += fmt::format("{}{}={}", numbers.empty() ? "" : ", ", name, value.dump());
    }
    if (!numbers.empty()) out += "          on " + Printable(numbers) + "\n";
  }
  return out;
}

std::string ShowDryRun(const wire::DryRunView& run, const Style& style) {
  std::string out;
  if (run.starts_now) {
    out = fmt::format("it would start now on {}{}\n",
                      Printable(fmt::format("{}", fmt::join(run.slots, ", "))),
                      run.where.empty() ? "" : " (" + run.where + ")");
  } else if (run.expected_wait_s) {
    out = "it would start in about " + Human(Duration::FromSeconds(*run.expected_wait_s)) + "\n";
  } else {
    out = "it would wait, and nothing tells for how long\n";
  }
  for (const std::string& touched : run.touches) out += "for it " + Printable(touched) + "\n";
  if (!run.blockers.empty()) out += "it would wait for\n";
  for (const wire::BlockerView& b : run.blockers) {
    out += fmt::format("  {}: {}\n", style.Paint(b.kind, Colour::kYellow), Printable(b.text));
    if (!b.remedy.empty()) out += "    what would change it: " + Printable(b.remedy) + "\n";
  }
  if (!run.waits_for.empty())
    out += fmt::format("it would have the slots of {}\n",
                       Printable(fmt::format("{}", fmt::join(run.waits_for, ", "))));
  if (!run.cheapest.empty()) out += "cheapest change: " + Printable(run.cheapest) + "\n";
  return out;
}

std::string ShowStatus(const wire::LabView& view, const Style& style) {
  const Counted n = CountSlots(view);
  std::string out = fmt::format(
      "{}  up {}  journal {}{}\n", style.Paint(Printable(Or(view.lab, "lab")), Colour::kBold),
      Ago(view.started, view.now), view.journal_seq,
      view.draining ? style.Paint("  shutting down", Colour::kYellow) : "");
  if (!view.trouble.empty())
    out += style.Paint("trouble: " + Printable(view.trouble), Colour::kRed) + "\n";
  out += fmt::format("{} slots: {} research, {} product, {} on loan, {} idle{}\n", n.total,
                     n.research, n.product, n.loaned, n.idle,
                     n.away ? fmt::format(", {} cordoned or down", n.away) : "");
  if (!view.slots.empty())
    out += SlotMap(view, style) +
           style.Paint("  R research  P product  L on loan  . idle  x cordoned or down",
                       Colour::kDim) +
           "\n";
  std::vector<wire::Job> living;
  std::map<std::string, int> ended;
  for (const wire::Job& job : view.jobs) {
    if (job.phase == wire::JobPhase::kDone || job.phase == wire::JobPhase::kFailed ||
        job.phase == wire::JobPhase::kCancelled)
      ++ended[std::string(wire::NameOf(job.phase))];
    else
      living.push_back(job);
  }
  if (!view.services.empty()) out += "\n" + ShowServices(view.services, style);
  if (!living.empty()) out += "\n" + ShowJobs(living, view.now, style);
  if (!ended.empty()) {
    std::string counts;
    for (const auto& [phase, count] : ended)
      counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count, phase);
    out += style.Paint("ended: " + counts, Colour::kDim) + "\n";
  }
  std::vector<wire::Loan> open;
  for (const wire::Loan& loan : view.loans) {
    if (loan.phase != wire::LoanPhase::kReturned) open.push_back(loan);
  }
  if (!open.empty()) out += "\n" + ShowLoans(open, view.now, style);
  return out;
}

}  // namespace weir::app
