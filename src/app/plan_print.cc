#include "app/plan_print.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "app/table.h"

namespace weir::app {

using namespace plan;
using Json = nlohmann::ordered_json;

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

std::string PlanJson(const PlanAnswer& a) {
  const Problem& p = a.problem;
  Json j = {{"weir_plan", 1},     {"start", MonthText(p.start)},
            {"months", p.months}, {"futures", a.futures},
            {"unseen", a.unseen}, {"risk", p.risk},
            {"tail", p.tail},     {"money", "micro-USD, discounted to the start"}};
  j["proof"] = {{"objective_microusd", MicroUsdOf(a.solution.objective)},
                {"bound_microusd", MicroUsdOf(a.solution.bound)},
                {"gap", a.solution.gap()},
                {"rounds", a.solution.rounds},
                {"by_cbc", a.solution.proven_by_cbc},
                {"least_floor_missed_h", a.solution.least_floor_missed},
                {"floor_missed_h", a.solution.floor_missed}};
  if (a.gap_asked)
    j["proof"]["sample_gap_95_microusd"] = {MicroUsdOf(a.gap_low_usd), MicroUsdOf(a.gap_high_usd)};
  for (const OfferAdvice& o : a.offers) {
    const Offer& offer = p.offers[static_cast<size_t>(o.offer)];
    Json e = {{"offer", offer.name},
              {"provider", offer.provider},
              {"pool", p.pools[static_cast<size_t>(offer.pool)].name},
              {"decision", o.action},
              {"accelerators", o.accelerators},
              {"ask_usd_h", o.ask_usd_h},
              {"walk_away_usd_h", o.walk_away_usd_h},
              {"walk_away_accelerators", o.quantity},
              {"indispensable", o.indispensable},
              {"worth_microusd", MicroUsdOf(o.worth_usd)},
              {"flips_with", o.flip}};
    if (o.sign_by >= 0) e["sign_by"] = MonthText(p.start + o.sign_by);
    j["offers"].push_back(std::move(e));
  }
  // Where the contracts stand after this plan: what --from reads.
  for (const Holding& h : p.holdings)
    j["commitments"].push_back({{"name", h.name},
                                {"provider", h.provider},
                                {"pool", p.pools[static_cast<size_t>(h.pool)].name},
                                {"accelerators", h.accelerators},
                                {"price_usd_h", h.price_usd_h},
                                {"start", MonthText(p.start + h.start)},
                                {"end", MonthText(p.start + h.end)},
                                {"ramp", h.ramp},
                                {"prepaid_microusd", MicroUsdOf(h.prepaid_usd)},
                                {"signed", MonthText(p.start)}});
  for (const OfferAdvice& o : a.offers) {
    const Offer& offer = p.offers[static_cast<size_t>(o.offer)];
    for (const Signed& x : o.lots) {
      double prepaid = 0;
      for (const double v : PromisedPrepaid(p, x.block)) prepaid = std::max(prepaid, v);
      j["commitments"].push_back(
          {{"name", fmt::format("{} from {}", offer.name, MonthText(p.start + x.block.start))},
           {"offer", offer.name},
           {"lots", x.lots},
           {"provider", offer.provider},
           {"pool", p.pools[static_cast<size_t>(offer.pool)].name},
           {"accelerators", x.lots * offer.lot},
           {"price_usd_h", offer.price_usd_h},
           {"start", MonthText(p.start + x.block.start)},
           {"end", MonthText(p.start + x.block.start + offer.term_months)},
           {"ramp", offer.ramp},
           {"prepaid_microusd", MicroUsdOf(prepaid * x.lots)},
           {"signed", MonthText(p.start + std::max(0, x.block.start - offer.lead_months))}});
    }
  }
  j["lapsing"] = a.lapsing;
  for (const Rival& r : a.rivals) {
    const Verdict& v = r.verdict;
    Json e = {{"name", r.name},
              {"mean_microusd", MicroUsdOf(v.mean)},
              {"cvar_microusd", MicroUsdOf(v.cvar)},
              {"committed_microusd", MicroUsdOf(v.committed)},
              {"on_demand_microusd", MicroUsdOf(v.on_demand)},
              {"spot_microusd", MicroUsdOf(v.spot)},
              {"not_done_microusd", MicroUsdOf(v.lost)},
              {"floor_missed_h", v.floor_missed},
              {"research_missed", v.research_missed()},
              {"product_missed", v.product_missed()}};
    if (r.name == "plan")
      for (const auto& [name, cls] : {std::pair{"research", 0}, std::pair{"product", 1}})
        for (int t = 0; t < p.months; ++t)
          e["by_month"][name].push_back(
              {{"month", MonthText(p.start + t)},
               {"asked", v.asked[static_cast<size_t>(cls)][static_cast<size_t>(t)]},
               {"missed", v.missed[static_cast<size_t>(cls)][static_cast<size_t>(t)]}});
    j["unseen_futures"].push_back(std::move(e));
  }
  for (const FactorAdvice& f : a.factors)
    j["bets"].push_back({{"what", f.name},
                         {"mean", f.mean},
                         {"in_tail", f.in_tail},
                         {"explains", f.explains},
                         {"one_sd_microusd", MicroUsdOf(f.per_sd_usd)}});
  for (const Stress& s : a.stresses)
    j["stress"].push_back({{"what", s.what},
                           {"mean_microusd", MicroUsdOf(s.mean)},
                           {"research_missed", s.research_missed},
                           {"product_missed", s.product_missed},
                           {"regret_microusd", MicroUsdOf(s.regret)}});
  for (const LimitRow& l : a.binding)
    j["limits"].push_back({{"what", l.what}, {"one_percent_saves_microusd", MicroUsdOf(l.price)}});
  for (const auto& [name, spend] : a.spend_by_provider)
    j["committed_by_provider"].push_back({{"provider", name}, {"microusd", MicroUsdOf(spend)}});
  j["notes"] = a.notes;
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace weir::app
