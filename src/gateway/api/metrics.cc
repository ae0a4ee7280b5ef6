#include "gateway/api/metrics.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

namespace weir::gateway {

namespace {

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (value == std::floor(value) && std::fabs(value) < 1e15)
    return fmt::format("{}", static_cast<int64_t>(value));
  return fmt::format("{}", value);  // shortest that reads back the same
}

std::string Escaped(std::string_view text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else if (c == '"' && quotes)
      out += "\\\"";
    else
      out += c;
  }
  return out;
}

std::string LabelText(const MetricLabels& labels, std::string_view le = {}) {
  if (labels.empty() && le.empty()) return "";
  std::string out;
  for (const auto& [name, value] : labels)
    out += fmt::format("{}{}=\"{}\"", out.empty() ? "{" : ",", name, Escaped(value, true));
  if (!le.empty()) out += fmt::format("{}le=\"{}\"", out.empty() ? "{" : ",", le);
  return out + "}";
}

}  // namespace

MetricsText::Family& MetricsText::In(std::string_view name, std::string_view help,
                                     std::string_view type) {
  const auto it = families_.find(name);
  if (it != families_.end()) {
    CHECK_MSG(it->second.type == type, "{} is a {} and a {}", name, it->second.type, type);
    return it->second;
  }
  order_.emplace_back(name);
  return families_[std::string(name)] = {std::string(type), std::string(help), ""};
}

void MetricsText::Gauge(std::string_view name, std::string_view help, double value,
                        const MetricLabels& labels) {
  In(name, help, "gauge").samples +=
      fmt::format("{}{} {}\n", name, LabelText(labels), Number(value));
}

void MetricsText::Counter(std::string_view name, std::string_view help, double value,
                          const MetricLabels& labels) {
  In(name, help, "counter").samples +=
      fmt::format("{}{} {}\n", name, LabelText(labels), Number(value));
}

void MetricsText::Histogram(std::string_view name, std::string_view help,
                            std::span<const double> bounds, std::span<const uint64_t> counts,
                            double sum, const MetricLabels& labels) {
  CHECK(counts.size() == bounds.size() + 1);
  std::string& out = In(name, help, "histogram").samples;
  uint64_t total = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    out += fmt::format("{}_bucket{} {}\n", name,
                       LabelText(labels, i < bounds.size() ? Number(bounds[i]) : "+Inf"), total);
  }
  out += fmt::format("{}_sum{} {}\n", name, LabelText(labels), Number(sum));
  out += fmt::format("{}_count{} {}\n", name, LabelText(labels), total);
}

std::string MetricsText::Take() && {
  std::string out;
  for (const std::string& name : order_) {
    const Family& family = families_.find(name)->second;
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n{}", name, Escaped(family.help, false), name,
                       family.type, family.samples);
  }
  return out;
}

namespace {

void AddSlotMetrics(MetricsText& text, const wire::LabView& view) {
  // A slot is in one state: not up, on loan, leased, or idle.
  std::map<std::string, std::string> held;  // slot id -> state
  for (const wire::Lease& lease : view.leases) {
    for (const std::string& slot : lease.slots)
      held[slot] = lease.loan.empty() ? "leased" : "on_loan";
  }
  std::map<std::pair<std::string, std::string>, int> counts;
  for (const wire::Slot& slot : view.slots) {
    for (const char* state : {"idle", "leased", "on_loan", "cordoned", "down"})
      counts.try_emplace({slot.site, state}, 0);
    const auto it = held.find(slot.id);
    const std::string state = it != held.end() ? it->second
                              : slot.health == wire::SlotHealth::kUp
                                  ? std::string("idle")
                                  : std::string(wire::NameOf(slot.health));
    ++counts[{slot.site, state}];
  }
  for (const auto& [key, count] : counts) {
    text.Gauge("weir_slots",
               "Slots by site and state; a leased slot counts as such whatever its health", count,
               {{"site", key.first}, {"state", key.second}});
  }
  std::map<std::string, int> by_team;
  for (const wire::Team& team : view.teams) by_team[team.name] = 0;
  for (const wire::Lease& lease : view.leases)
    by_team[lease.team] += static_cast<int>(lease.slots.size());
  for (const auto& [team, slots] : by_team)
    text.Gauge("weir_team_slots", "Slots that a team holds now", slots, {{"team", team}});
  for (const wire::Team& team : view.teams) {
    text.Gauge("weir_team_guarantee_slots", "Slots that a team is guaranteed",
               static_cast<double>(team.guarantee_slots), {{"team", team.name}});
    text.Gauge("weir_team_credit_slot_seconds", "Slot-seconds owed to a team for its loans",
               team.credit_slot_s, {{"team", team.name}});
  }
}

void AddWorkMetrics(MetricsText& text, const wire::LabView& view) {
  std::map<std::string, int> leases;
  for (const auto phase :
       {wire::LeasePhase::kIntended, wire::LeasePhase::kActive, wire::LeasePhase::kStopping})
    leases[std::string(wire::NameOf(phase))] = 0;
  for (const wire::Lease& lease : view.leases) ++leases[std::string(wire::NameOf(lease.phase))];
  for (const auto& [phase, count] : leases)
    text.Gauge("weir_leases", "Leases that have not ended, by phase", count, {{"phase", phase}});

  std::map<std::string, int> jobs;
  for (const auto& [phase, name] : wire::EnumNames<wire::JobPhase>::kNames) jobs[name] = 0;
  for (const wire::Job& job : view.jobs) ++jobs[std::string(wire::NameOf(job.phase))];
  for (const auto& [phase, count] : jobs) {
    text.Gauge("weir_jobs", "Jobs by phase: all that have not ended, and the newest 200 that have",
               count, {{"phase", phase}});
  }
  for (const wire::Job& job : view.jobs) {
    if (job.phase != wire::JobPhase::kRunning || !job.progress) continue;
    const MetricLabels labels = {{"job", job.id}, {"name", job.spec.name}};
    const wire::Progress& p = *job.progress;
    text.Gauge("weir_job_step", "Newest step of a running job", static_cast<double>(p.step),
               labels);
    if (p.loss) text.Gauge("weir_job_loss", "Training loss, nats per token", *p.loss, labels);
    if (p.heldout_loss)
      text.Gauge("weir_job_heldout_loss", "Held-out loss, nats per token", *p.heldout_loss, labels);
    if (p.tokens_per_s)
      text.Gauge("weir_job_tokens_per_second", "Training speed", *p.tokens_per_s, labels);
    if (p.mfu) text.Gauge("weir_job_mfu", "Share of the machine's measured peak", *p.mfu, labels);
  }

  int open = 0, slots = 0;
  double cost = 0;
  for (const wire::Loan& loan : view.loans) {
    cost += loan.cost_slot_s;
    if (loan.phase == wire::LoanPhase::kReturned) continue;
    ++open;
    for (const wire::LoanPart& part : loan.parts) slots += static_cast<int>(part.slots.size());
  }
  text.Gauge("weir_loans_open", "Loans that are not returned", open);
  text.Gauge("weir_loan_slots", "Slots out on loan", slots);
  text.Gauge(
      "weir_loan_cost_slot_seconds",
      "Slot-seconds that loans cost research: those not returned and the newest 100 that were",
      cost);
}

void AddServiceMetrics(MetricsText& text, const wire::LabView& view) {
  for (const wire::ServiceView& s : view.services) {
    const std::string& name = s.service.spec.name;
    const MetricLabels labels = {{"service", name}};
    const auto replicas = [&](const char* state, int64_t n) {
      text.Gauge("weir_service_replicas", "Replicas of a service by state", static_cast<double>(n),
                 {{"service", name}, {"state", state}});
    };
    replicas("ready", s.ready);
    replicas("starting", s.starting);
    replicas("draining", s.draining);
    replicas("wanted", s.wanted);
    const wire::TrafficView& t = s.traffic;
    text.Gauge("weir_service_arrivals_per_second", "Requests arriving", t.arrivals_per_s, labels);
    text.Gauge("weir_service_completions_per_second", "Requests answered", t.completions_per_s,
               labels);
    text.Gauge("weir_service_forecast_per_second",
               "Requests expected when a replica started now would be ready", t.forecast_per_s,
               labels);
    text.Gauge("weir_service_capacity_per_second", "What the ready replicas can serve",
               t.capacity_per_s, labels);
    text.Gauge("weir_service_refused_per_second", "Requests answered 429 or 503", t.refused_per_s,
               labels);
    text.Gauge("weir_service_errors_per_second", "Requests answered 5xx or broken off",
               t.errors_per_s, labels);
    text.Gauge("weir_service_outstanding", "Requests at replicas",
               static_cast<double>(t.outstanding), labels);
    text.Gauge("weir_service_queued", "Requests waiting at the gateway",
               static_cast<double>(t.queued), labels);
    text.Gauge("weir_service_tokens_per_second", "Output tokens", t.tokens_per_s, labels);
    text.Gauge("weir_service_ttft_seconds", "Time to first token at the SLO's percentile",
               t.ttft_ms / 1e3, labels);
    text.Gauge("weir_service_tpot_seconds", "Time per output token at the SLO's percentile",
               t.tpot_ms / 1e3, labels);
    text.Gauge("weir_service_slo_met", "1 when the SLO is met", t.slo_met ? 1 : 0, labels);
    text.Gauge("weir_service_shed_above_tier", "Tiers above this are refused; 0 = none are",
               static_cast<double>(s.service.shed_above_tier), labels);
  }
}

}  // namespace

void AddLabMetrics(MetricsText& text, const wire::LabView& view) {
  text.Gauge("weir_info", "Always 1; its labels say what runs", 1,
             {{"lab", view.lab}, {"version", view.version}});
  text.Gauge("weir_start_time_seconds", "When this `weir up` began, seconds since 1970",
             static_cast<double>(view.started.us) / 1e6);
  text.Gauge("weir_journal_seq", "Number of the newest journal record",
             static_cast<double>(view.journal_seq));
  text.Gauge("weir_draining", "1 while shutting down", view.draining ? 1 : 0);
  text.Gauge("weir_trouble", "1 while something keeps Weir from working (see `weir status`)",
             view.trouble.empty() ? 0 : 1);
  AddSlotMetrics(text, view);
  AddWorkMetrics(text, view);
  AddServiceMetrics(text, view);
}

}  // namespace weir::gateway
