#include "app/plan_print.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/table.h"

namespace weir::app {

using namespace plan;

namespace {

constexpr size_t kMostRows = 40;  // of offers, in the table for people

std::string When(const Problem& p, int month) { return MonthText(p.start + month); }
std::string Percent(double share, int digits = 1) {
  return fmt::format("{:.{}f}%", 100 * share, digits);
}
std::string Lots(const PlanAnswer& a, const OfferAdvice& o) {
  std::string out;
  const double lot = a.problem.offers[static_cast<size_t>(o.offer)].lot;
  for (const Signed& x : o.lots)
    out += fmt::format("{}{:.0f} from {}", out.empty() ? "" : ", ", x.lots * lot,
                       When(a.problem, x.block.start));
  return out.empty() ? "-" : out;
}
Colour ColourOf(const std::string& action) {
  if (action.starts_with("sign") || action.starts_with("renew")) return Colour::kGreen;
  if (action == "renegotiate") return Colour::kYellow;
  return Colour::kDim;
}
int64_t MicroUsdOf(double usd) { return std::llround(usd * 1e6); }

}  // namespace

std::string Dollars(double usd) {
  const double a = std::fabs(usd);
  if (a >= 1e9) return fmt::format("${:.3f}B", usd / 1e9);
  if (a >= 1e6) return fmt::format("${:.2f}M", usd / 1e6);
  if (a >= 1e4) return fmt::format("${:.1f}k", usd / 1e3);
  return fmt::format("${:.0f}", usd);
}

std::string PlanText(const PlanAnswer& a) {
  const Style style = Style::For();
  const Problem& p = a.problem;
  std::string out = fmt::format(
      "{} months from {}, {} futures ({} unseen ones to judge), {} offers, {} contracts in "
      "force\n\n",
      p.months, MonthText(p.start), a.futures, a.unseen, p.offers.size(), p.holdings.size());
  Table offers({"offer", "decision", "accelerators", "sign by", ">asks $/h", ">walk away $/h",
                ">worth", "flips with"});
  size_t rows = 0;
  for (const OfferAdvice& o : a.offers) {
    if (rows++ >= kMostRows) break;
    const Offer& offer = p.offers[static_cast<size_t>(o.offer)];
    offers.Add(
        {Printable(offer.name),
         {o.action, ColourOf(o.action)},
         o.lots.empty() && o.quantity > 0 ? fmt::format("{:.0f} if so", o.quantity) : Lots(a, o),
         o.sign_by >= 0 ? When(p, o.sign_by) : "-",
         fmt::format("{:.2f}", o.ask_usd_h),
         o.indispensable ? "any" : fmt::format("{:.2f}", o.walk_away_usd_h),
         o.indispensable   ? "indispensable"
         : o.worth_usd > 0 ? Dollars(o.worth_usd)
                           : "-",
         Printable(o.flip)});
  }
  out += offers.Print(style);
  if (a.offers.size() > kMostRows)
    out += fmt::format("... and {} more, all in --json\n", a.offers.size() - kMostRows);
  for (const std::string& name : a.lapsing)
    out += fmt::format("contract {} ends and is not renewed: let it lapse\n", Printable(name));

  const Verdict& v = a.rivals[0].verdict;
  out += fmt::format(
      "\nIn futures that it has not seen the plan costs {} on average and {} in the worst {}: "
      "committed {}, on demand {}, spot {}, work not done {}.\n",
      Dollars(v.mean), Dollars(v.cvar), Percent(p.tail, 0), Dollars(v.committed),
      Dollars(v.on_demand), Dollars(v.spot), Dollars(v.lost));
  out += fmt::format(
      "Expected shortage: research {} of its work ({:.0f} accelerator-hours of its floor), "
      "product {}.\n",
      Percent(v.research_missed()), v.floor_missed, Percent(v.product_missed()));
  out += fmt::format("Proven within {} of the best plan for the {} futures it was made for{}",
                     Percent(a.solution.gap(), 2), a.futures,
                     a.solution.proven_by_cbc ? " (Cbc)" : " (relaxation and rounding)");
  if (a.gap_asked)
    out += fmt::format("; with 95% confidence within {} ({}) of the best for all futures",
                       Dollars(a.gap_high_usd),
                       Percent(a.gap_high_usd / std::max(1.0, v.objective), 1));
  out += ".\n";

  Table rivals({"way to plan", ">mean", ">worst " + Percent(p.tail, 0), ">research missed",
                ">floor missed, h", ">product missed", "what it is"});
  for (const Rival& r : a.rivals)
    rivals.Add({{r.name, r.name == "plan" ? Colour::kBold : Colour::kNone},
                Dollars(r.verdict.mean),
                Dollars(r.verdict.cvar),
                Percent(r.verdict.research_missed()),
                fmt::format("{:.0f}", r.verdict.floor_missed),
                Percent(r.verdict.product_missed()),
                r.what});
  out += "\n" + rivals.Print(style);

  Table bets({"what it bets on", ">on average", ">in the worst", ">explains", ">one sd costs"});
  for (size_t i = 0; i < a.factors.size() && i < 8; ++i) {
    const FactorAdvice& f = a.factors[i];
    if (f.explains < 0.01) break;
    bets.Add({Printable(f.name), fmt::format("{:.3g}", f.mean), fmt::format("{:.3g}", f.in_tail),
              Percent(f.explains, 0), Dollars(f.per_sd_usd)});
  }
  if (!bets.empty()) out += "\n" + bets.Print(style);
  Table stress({"what would break it", ">mean", ">research missed", ">product missed",
                ">dearer than knowing"});
  for (const Stress& s : a.stresses)
    stress.Add({Printable(s.what), Dollars(s.mean), Percent(s.research_missed),
                Percent(s.product_missed), Dollars(s.regret)});
  if (!stress.empty()) out += "\n" + stress.Print(style);
  if (!a.binding.empty()) {
    out += "\nLimits that cost money (what one percent more would save):\n";
    for (size_t i = 0; i < a.binding.size() && i < 8; ++i)
      out += fmt::format("  {}: {}\n", a.binding[i].what, Dollars(a.binding[i].price));
  }
  for (const std::string& n : a.notes) out += "note: " + Printable(n) + "\n";
  return out;
}

namespace {

wire::PlanOffer OfferDoc(const PlanAnswer& a, const OfferAdvice& o) {
  const Problem& p = a.problem;
  const Offer& offer = p.offers[static_cast<size_t>(o.offer)];
  wire::PlanOffer e;
  e.offer = offer.name;
  e.provider = offer.provider;
  e.pool = p.pools[static_cast<size_t>(offer.pool)].name;
  e.decision = o.action;
  e.accelerators = o.accelerators;
  if (!o.lots.empty()) e.from = Lots(a, o);
  e.ask_usd_h = o.ask_usd_h;
  e.walk_away_usd_h = o.walk_away_usd_h;
  e.walk_away_accelerators = o.quantity;
  e.indispensable = o.indispensable;
  e.worth_microusd = MicroUsdOf(o.worth_usd);
  e.flips_with = o.flip;
  if (o.sign_by >= 0) e.sign_by = When(p, o.sign_by);
  return e;
}

// Where the contracts stand after this plan: what --from reads.
std::vector<wire::PlanCommitment> CommitmentDocs(const PlanAnswer& a) {
  const Problem& p = a.problem;
  std::vector<wire::PlanCommitment> out;
  for (const Holding& h : p.holdings)
    out.push_back({.name = h.name,
                   .provider = h.provider,
                   .pool = p.pools[static_cast<size_t>(h.pool)].name,
                   .accelerators = h.accelerators,
                   .price_usd_h = h.price_usd_h,
                   .start = When(p, h.start),
                   .end = When(p, h.end),
                   .ramp = h.ramp,
                   .prepaid_microusd = MicroUsdOf(h.prepaid_usd),
                   .signed_in = MonthText(p.start)});
  for (const OfferAdvice& o : a.offers) {
    const Offer& offer = p.offers[static_cast<size_t>(o.offer)];
    for (const Signed& x : o.lots) {
      double prepaid = 0;
      for (const double v : PromisedPrepaid(p, x.block)) prepaid = std::max(prepaid, v);
      out.push_back({.name = fmt::format("{} from {}", offer.name, When(p, x.block.start)),
                     .offer = offer.name,
                     .lots = x.lots,
                     .provider = offer.provider,
                     .pool = p.pools[static_cast<size_t>(offer.pool)].name,
                     .accelerators = x.lots * offer.lot,
                     .price_usd_h = offer.price_usd_h,
                     .start = When(p, x.block.start),
                     .end = When(p, x.block.start + offer.term_months),
                     .ramp = offer.ramp,
                     .prepaid_microusd = MicroUsdOf(prepaid * x.lots),
                     .signed_in = When(p, std::max(0, x.block.start - offer.lead_months))});
    }
  }
  return out;
}

wire::PlanRival RivalDoc(const PlanAnswer& a, const Rival& r) {
  constexpr size_t kQuantiles = 50;
  const Verdict& v = r.verdict;
  wire::PlanRival e;
  e.name = r.name;
  e.what = r.what;
  e.mean_microusd = MicroUsdOf(v.mean);
  e.cvar_microusd = MicroUsdOf(v.cvar);
  e.committed_microusd = MicroUsdOf(v.committed);
  e.on_demand_microusd = MicroUsdOf(v.on_demand);
  e.spot_microusd = MicroUsdOf(v.spot);
  e.not_done_microusd = MicroUsdOf(v.lost);
  e.floor_missed_h = v.floor_missed;
  e.research_missed = v.research_missed();
  e.product_missed = v.product_missed();
  std::vector<double> sorted = v.cost;
  std::sort(sorted.begin(), sorted.end());
  for (size_t q = 0; q <= kQuantiles && !sorted.empty(); ++q)
    e.cost_quantiles_microusd.push_back(MicroUsdOf(sorted[q * (sorted.size() - 1) / kQuantiles]));
  if (r.name != "plan") return e;
  auto& months = e.by_month.emplace();
  for (const auto& [name, cls] : {std::pair{"research", 0}, std::pair{"product", 1}})
    for (size_t t = 0; t < v.asked[static_cast<size_t>(cls)].size(); ++t)
      months[name].push_back({When(a.problem, static_cast<int>(t)),
                              v.asked[static_cast<size_t>(cls)][t],
                              v.missed[static_cast<size_t>(cls)][t]});
  return e;
}

}  // namespace

wire::PlanDoc PlanDocOf(const PlanAnswer& a, const std::string& title) {
  const Problem& p = a.problem;
  wire::PlanDoc doc;
  doc.weir_plan = 1;
  doc.title = title;
  doc.start = MonthText(p.start);
  doc.months = p.months;
  doc.futures = a.futures;
  doc.unseen = a.unseen;
  doc.risk = p.risk;
  doc.tail = p.tail;
  doc.money = "micro-USD, discounted to the start";
  doc.proof = {.objective_microusd = MicroUsdOf(a.solution.objective),
               .bound_microusd = MicroUsdOf(a.solution.bound),
               .gap = a.solution.gap(),
               .rounds = a.solution.rounds,
               .by_cbc = a.solution.proven_by_cbc,
               .least_floor_missed_h = a.solution.least_floor_missed,
               .floor_missed_h = a.solution.floor_missed};
  if (a.gap_asked)
    doc.proof.sample_gap_95_microusd = {MicroUsdOf(a.gap_low_usd), MicroUsdOf(a.gap_high_usd)};
  for (const OfferAdvice& o : a.offers) doc.offers.push_back(OfferDoc(a, o));
  doc.commitments = CommitmentDocs(a);
  doc.lapsing = a.lapsing;
  for (const Rival& r : a.rivals) doc.unseen_futures.push_back(RivalDoc(a, r));
  for (const FactorAdvice& f : a.factors)
    doc.bets.push_back({f.name, f.mean, f.in_tail, f.explains, MicroUsdOf(f.per_sd_usd)});
  for (const Stress& s : a.stresses)
    doc.stress.push_back(
        {s.what, MicroUsdOf(s.mean), s.research_missed, s.product_missed, MicroUsdOf(s.regret)});
  for (const LimitRow& l : a.binding) doc.limits.push_back({l.what, MicroUsdOf(l.price)});
  for (const auto& [name, spend] : a.spend_by_provider)
    doc.committed_by_provider.push_back({name, MicroUsdOf(spend)});
  for (const PlanAnswer::Ladder& l : a.ladders) {
    wire::PlanLadder ladder{l.title, l.p10, l.p50, l.p90, {}};
    for (const auto& [name, work] : l.steps) ladder.steps.push_back({name, work});
    doc.ladders.push_back(std::move(ladder));
  }
  doc.notes = a.notes;
  return doc;
}

std::string PlanJson(const wire::PlanDoc& doc) {
  return wire::ToJson(doc).dump(2, ' ', false, wire::Json::error_handler_t::replace) + "\n";
}

}  // namespace weir::app
