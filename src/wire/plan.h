// A finished plan of what to rent, as `weir plan` writes it, as the lab holds the newest one and as
// the dashboard shows it. Money is discounted to the start, in millionths of a US dollar; months
// are "2027-03"; work is in accelerators of a demand's reference type.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "wire/schema.h"

namespace weir::wire {

struct PlanProof {
  int64_t objective_microusd = 0, bound_microusd = 0;
  double gap = 0;
  int64_t rounds = 0;
  bool by_cbc = false;
  double least_floor_missed_h = 0, floor_missed_h = 0;
  std::optional<std::vector<int64_t>> sample_gap_95_microusd;
};
template <class V>
void Fields(V& v, Owned<V, PlanProof>& p) {
  v("objective_microusd", p.objective_microusd, "what is minimised, at the plan");
  v("bound_microusd", p.bound_microusd, "no plan is below it, for the futures planned for");
  v("gap", p.gap, "of the two, 0..1");
  v("rounds", p.rounds);
  v("by_cbc", p.by_cbc, "the integer solver confirmed it");
  v("least_floor_missed_h", p.least_floor_missed_h, "expected, of any plan");
  v("floor_missed_h", p.floor_missed_h, "expected, of this one");
  v("sample_gap_95_microusd", p.sample_gap_95_microusd,
    "estimate and upper end of what more futures could still teach");
}

struct PlanOffer {
  std::string offer, provider, pool, decision;
  double accelerators = 0;
  std::string from;
  double ask_usd_h = 0, walk_away_usd_h = 0, walk_away_accelerators = 0;
  bool indispensable = false;
  int64_t worth_microusd = 0;
  std::string flips_with;
  std::optional<std::string> sign_by;
};
template <class V>
void Fields(V& v, Owned<V, PlanOffer>& o) {
  v("offer", o.offer, "its name", kRequired);
  v("provider", o.provider);
  v("pool", o.pool);
  v("decision", o.decision,
    "sign, sign later, renew, renew later, renegotiate, let lapse or decline", kRequired);
  v("accelerators", o.accelerators, "that are signed");
  v("from", o.from, "how many from which month: 64 from 2027-03");
  v("ask_usd_h", o.ask_usd_h, "what is asked for an accelerator-hour");
  v("walk_away_usd_h", o.walk_away_usd_h, "above it the plan is as good without");
  v("walk_away_accelerators", o.walk_away_accelerators, "signed, or taken just below that price");
  v("indispensable", o.indispensable, "a floor or a limit cannot be held without it");
  v("worth_microusd", o.worth_microusd, "what the plan loses without it");
  v("flips_with", o.flips_with, "the mildest single change of terms that turns the decision");
  v("sign_by", o.sign_by, "month");
}

struct PlanCommitment {
  std::string name, offer;
  double lots = 0;
  std::string provider, pool;
  double accelerators = 0, price_usd_h = 0;
  std::string start, end;
  std::vector<double> ramp;
  int64_t prepaid_microusd = 0;
  std::string signed_in;
};
template <class V>
void Fields(V& v, Owned<V, PlanCommitment>& c) {
  v("name", c.name, "", kRequired);
  v("offer", c.offer, "that it came of; empty: it was held before");
  v("lots", c.lots);
  v("provider", c.provider, "", kRequired);
  v("pool", c.pool, "", kRequired);
  v("accelerators", c.accelerators, "", kRequired);
  v("price_usd_h", c.price_usd_h, "", kRequired);
  v("start", c.start, "month", kRequired);
  v("end", c.end, "first month without it", kRequired);
  v("ramp", c.ramp, "share delivered, by month", kRequired);
  v("prepaid_microusd", c.prepaid_microusd);
  v("signed", c.signed_in, "month", kRequired);
}

struct PlanShort {
  std::string month;
  double asked = 0, missed = 0;
};
template <class V>
void Fields(V& v, Owned<V, PlanShort>& s) {
  v("month", s.month);
  v("asked", s.asked, "work-hours, expected");
  v("missed", s.missed);
}

struct PlanRival {
  std::string name, what;
  int64_t mean_microusd = 0, cvar_microusd = 0, committed_microusd = 0, on_demand_microusd = 0,
          spot_microusd = 0, not_done_microusd = 0;
  double floor_missed_h = 0, research_missed = 0, product_missed = 0;
  std::vector<int64_t> cost_quantiles_microusd;
  std::optional<std::map<std::string, std::vector<PlanShort>>> by_month;
};
template <class V>
void Fields(V& v, Owned<V, PlanRival>& r) {
  v("name", r.name, "plan, or a simpler way of planning", kRequired);
  v("what", r.what);
  v("mean_microusd", r.mean_microusd, "of unseen futures");
  v("cvar_microusd", r.cvar_microusd, "of the worst of them");
  v("committed_microusd", r.committed_microusd);
  v("on_demand_microusd", r.on_demand_microusd);
  v("spot_microusd", r.spot_microusd);
  v("not_done_microusd", r.not_done_microusd, "value of work that is not done");
  v("floor_missed_h", r.floor_missed_h);
  v("research_missed", r.research_missed, "share of its work");
  v("product_missed", r.product_missed);
  v("cost_quantiles_microusd", r.cost_quantiles_microusd, "evenly spaced, least to most");
  v("by_month", r.by_month, "research and product");
}

struct PlanBet {
  std::string what;
  double mean = 0, in_tail = 0, explains = 0;
  int64_t one_sd_microusd = 0;
};
template <class V>
void Fields(V& v, Owned<V, PlanBet>& b) {
  v("what", b.what);
  v("mean", b.mean, "over all futures");
  v("in_tail", b.in_tail, "over the worst");
  v("explains", b.explains, "share of the variance of cost");
  v("one_sd_microusd", b.one_sd_microusd, "change of cost for one standard deviation more");
}
struct PlanStress {
  std::string what;
  int64_t mean_microusd = 0;
  double research_missed = 0, product_missed = 0;
  int64_t regret_microusd = 0;
};
template <class V>
void Fields(V& v, Owned<V, PlanStress>& s) {
  v("what", s.what);
  v("mean_microusd", s.mean_microusd);
  v("research_missed", s.research_missed);
  v("product_missed", s.product_missed);
  v("regret_microusd", s.regret_microusd, "dearer than a plan that had known");
}
struct PlanLimit {
  std::string what;
  int64_t one_percent_saves_microusd = 0;
};
template <class V>
void Fields(V& v, Owned<V, PlanLimit>& l) {
  v("what", l.what);
  v("one_percent_saves_microusd", l.one_percent_saves_microusd);
}
struct PlanShare {
  std::string provider;
  int64_t microusd = 0;
};
template <class V>
void Fields(V& v, Owned<V, PlanShare>& s) {
  v("provider", s.provider);
  v("microusd", s.microusd);
}

struct PlanStep {
  std::string name;
  std::vector<double> work;
};
template <class V>
void Fields(V& v, Owned<V, PlanStep>& s) {
  v("name", s.name, "contract");
  v("work", s.work, "that it gives, by month, as promised");
}
struct PlanLadder {
  std::string title;
  std::vector<double> p10, p50, p90;
  std::vector<PlanStep> steps;
};
template <class V>
void Fields(V& v, Owned<V, PlanLadder>& l) {
  v("title", l.title, "pools that share demand");
  v("p10", l.p10, "demand that one future in ten is below, by month");
  v("p50", l.p50);
  v("p90", l.p90);
  v("steps", l.steps, "what is committed");
}

struct PlanDoc {
  int64_t weir_plan = 0;
  std::string title;
  std::string start;
  int64_t months = 0, futures = 0, unseen = 0;
  double risk = 0, tail = 0;
  std::string money;
  PlanProof proof;
  std::vector<PlanOffer> offers;
  std::vector<PlanCommitment> commitments;
  std::vector<std::string> lapsing;
  std::vector<PlanRival> unseen_futures;
  std::vector<PlanBet> bets;
  std::vector<PlanStress> stress;
  std::vector<PlanLimit> limits;
  std::vector<PlanShare> committed_by_provider;
  std::vector<PlanLadder> ladders;
  std::vector<std::string> notes;
};
template <class V>
void Fields(V& v, Owned<V, PlanDoc>& p) {
  v("weir_plan", p.weir_plan, "1: this form", kRequired);
  v("title", p.title, "of the plan file");
  v("start", p.start, "first month", kRequired);
  v("months", p.months, "", kRequired);
  v("futures", p.futures, "planned for");
  v("unseen", p.unseen, "futures that judge");
  v("risk", p.risk, "weight of the worst futures");
  v("tail", p.tail, "share of futures that are the worst");
  v("money", p.money, "what amounts are in, for people");
  v("proof", p.proof);
  v("offers", p.offers, "what to do about each; decided ones first", kRequired);
  v("commitments", p.commitments, "where the contracts stand after it");
  v("lapsing", p.lapsing, "contracts that end and are not renewed");
  v("unseen_futures", p.unseen_futures, "the plan first, then simpler ways of planning");
  v("bets", p.bets, "what its cost goes with");
  v("stress", p.stress, "what would break it");
  v("limits", p.limits, "that cost money");
  v("committed_by_provider", p.committed_by_provider);
  v("ladders", p.ladders, "commitments against the fan of demand");
  v("notes", p.notes, "what was assumed or left out");
}

// The newest plan as the lab holds it.
struct HeldPlan {
  PlanDoc plan;
  std::string put_by;
  Time put_at;
};
template <class V>
void Fields(V& v, Owned<V, HeldPlan>& h) {
  v("plan", h.plan, "", kRequired);
  v("put_by", h.put_by, "name of the key");
  v("put_us", h.put_at, "when the lab got it");
}

}  // namespace weir::wire

WEIR_MESSAGE(weir::wire::PlanProof);
WEIR_MESSAGE(weir::wire::PlanOffer);
WEIR_MESSAGE(weir::wire::PlanCommitment);
WEIR_MESSAGE(weir::wire::PlanShort);
WEIR_MESSAGE(weir::wire::PlanRival);
WEIR_MESSAGE(weir::wire::PlanBet);
WEIR_MESSAGE(weir::wire::PlanStress);
WEIR_MESSAGE(weir::wire::PlanLimit);
WEIR_MESSAGE(weir::wire::PlanShare);
WEIR_MESSAGE(weir::wire::PlanStep);
WEIR_MESSAGE(weir::wire::PlanLadder);
WEIR_MESSAGE(weir::wire::PlanDoc);
WEIR_MESSAGE(weir::wire::HeldPlan);
