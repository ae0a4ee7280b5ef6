#include "app/blueprint_print.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "app/table.h"
#include "base/units.h"
#include "lab/blueprint/spec.h"

namespace weir::app {

using namespace blueprint;
using Json = nlohmann::ordered_json;

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

// Seconds as people read them at this size.
std::string Seconds(double s) {
  if (!std::isfinite(s)) return "-";
  if (s < 1e-3) return fmt::format("{:.1f} us", s * 1e6);
  if (s < 1) return fmt::format("{:.3g} ms", s * 1e3);
  if (s < 300) return fmt::format("{:.3g} s", s);
  if (s < 2 * 86400) return fmt::format("{:.3g} h", s / 3600);
  return fmt::format("{:.3g} d", s / 86400);
}
std::string Between(const Estimate& e) {
  return fmt::format("{} .. {}", Seconds(e.low), Seconds(e.high));
}
std::string Gib(double bytes) { return fmt::format("{:.1f}", bytes / kGiB); }
std::string Dollars(double d) {
  if (d >= 1e6) return fmt::format("${:.2f}M", d / 1e6);
  if (d >= 1e4) return fmt::format("${:.1f}k", d / 1e3);
  return fmt::format("${:.2f}", d);
}

Json ToJson(const Estimate& e) {
  return {{"value", e.value},
          {"low", e.low},
          {"high", e.high},
          {"known_model", e.known_model},
          {"extrapolates", e.extrapolates},
          {"why", e.why},
          {"nearest", e.nearest}};
}
Json ToJson(const MemoryUse& m) {
  return {{"weights", m.weights},         {"gradients", m.gradients}, {"optimizer", m.optimizer},
          {"activations", m.activations}, {"logits", m.logits},       {"cache", m.cache},
          {"reserve", m.reserve},         {"total", m.total()}};
}
Json ToJson(const Layout& l) {
  return {{"tp", l.tp},
          {"pp", l.pp},
          {"interleave", l.interleave},
          {"dp", l.dp},
          {"cp", l.cp},
          {"ep", l.ep},
          {"zero", l.zero},
          {"micro_batch", l.micro_batch},
          {"recompute", NameOf(l.recompute)},
          {"precision", NameOf(l.precision)},
          {"text", Describe(l)}};
}
Json ToJson(const ServeGroup& g) {
  return {{"tp", g.tp}, {"attention_dp", g.attention_dp}, {"ep", g.ep}};
}
Json ToJson(const Goodput& g) {
  return {{"share", g.share()},
          {"useful", g.useful},
          {"waiting", g.waiting},
          {"mtbf_s", std::isfinite(g.mtbf_s) ? Json(g.mtbf_s) : Json()},
          {"interval_s", g.interval_s},
          {"checkpoint_stall_s", g.stall_s},
          {"failures_per_day", g.failures_per_day}};
}
Json ToJson(const RunCost& c) {
  return {{"days", c.days},
          {"low_days", c.low_days},
          {"high_days", c.high_days},
          {"accelerator_hours", c.accelerator_hours},
          {"dollars", c.dollars},
          {"low_dollars", c.low_dollars},
          {"high_dollars", c.high_dollars},
          {"dollars_per_million_tokens", c.dollars_per_million_tokens},
          {"kilowatts", c.kilowatts},
          {"megawatt_hours", c.megawatt_hours},
          {"tonnes_co2", c.tonnes_co2}};
}

Json ToJson(const TrainAnswer& a, bool with_cost) {
  const TrainPrediction& p = a.candidate.prediction;
  Json parts = Json::object();
  for (int i = 0; i < kTimeParts; ++i)
    parts[std::string(NameOf(static_cast<TimePart>(i)))] = p.parts[static_cast<size_t>(i)];
  Json j = {{"layout", ToJson(a.candidate.layout)},
            {"step_s", ToJson(a.step_s)},
            {"tokens_per_s", p.tokens_per_s},
            {"flops_per_s_per_accelerator", p.model_flops_per_s},
            {"mfu", p.mfu},
            {"parts_s", std::move(parts)},
            {"memory_bytes", ToJson(p.memory)},
            {"goodput", ToJson(a.goodput)}};
  if (with_cost) j["run"] = ToJson(a.cost);
  return j;
}

void Confidence(std::string& out, const Estimate& e, std::string_view what) {
  if (e.extrapolates)
    out += fmt::format(
        "\nThis extrapolates in {}: no measured row lies near, so the error bar of {} is "
        "doubled.\n",
        e.why, what);
  else if (!e.known_model)
    out += fmt::format(
        "\nNo row of this model is in the calibration: the error bar of {} is that of unknown "
        "models.\n",
        what);
  if (!e.nearest.empty()) out += fmt::format("Nearest measured row: {}\n", e.nearest);
}

}  // namespace

std::string ModelsText(bool json) {
  Json list = Json::array();
  Table t({"MODEL", ">PARAMETERS", ">ACTIVE", ">LAYERS", ">HIDDEN", ">GFLOP/TOKEN", "ATTENTION",
           "NOTE"});
  for (const ModelShape& m : ModelPresets()) {
    const ParameterCounts p = CountParameters(m);
    const std::string attention = m.latent()               ? "latent"
                                  : m.recurrent_layers > 0 ? "hybrid"
                                  : m.kv_heads < m.heads   ? "grouped"
                                                           : "full";
    const double flops = 3 * ForwardFlopsPerToken(m, 4096);
    list.push_back({{"name", m.name},
                    {"parameters", p.total()},
                    {"active", p.active()},
                    {"layers", m.blocks},
                    {"hidden", m.hidden},
                    {"training_flops_per_token_at_4096", flops},
                    {"attention", attention},
                    {"assumed", m.assumed},
                    {"aliases", m.aliases}});
    t.Add({m.name, HumanCount(p.total()), HumanCount(p.active()), fmt::format("{}", m.blocks),
           fmt::format("{}", m.hidden), fmt::format("{:.1f}", flops / 1e9), attention,
           m.assumed ? "shape inferred from published totals" : ""});
  }
  return json ? Dump(list) : t.Print(Style::For());
}

std::string AcceleratorsText(bool json) {
  Json list = Json::array();
  Table t({"ACCELERATOR", ">BF16 TF/S", ">FP8", ">FP4", ">MEMORY GiB", ">TB/S", ">LINK GB/S",
           ">NIC GB/S", ">NODE", ">DOMAIN", ">WATTS", ">NODE W"});
  const auto tera = [](double v) {
    return v > 0 ? fmt::format("{:.0f}", v / 1e12) : std::string("-");
  };
  for (const Accelerator& a : AcceleratorPresets()) {
    list.push_back({{"name", a.name},
                    {"bf16_flops", a.bf16_flops},
                    {"fp8_flops", a.fp8_flops},
                    {"fp4_flops", a.fp4_flops},
                    {"memory_bytes", a.memory_bytes},
                    {"memory_bytes_per_s", a.memory_bytes_per_s},
                    {"link_bytes_per_s", a.link_bytes_per_s},
                    {"nic_bytes_per_s", a.nic_bytes_per_s},
                    {"node", a.node},
                    {"domain", a.domain},
                    {"watts", a.watts},
                    {"node_watts", a.node_watts},
                    {"aliases", a.aliases}});
    t.Add({a.name, tera(a.bf16_flops), tera(a.fp8_flops), tera(a.fp4_flops),
           fmt::format("{:.0f}", a.memory_bytes / kGiB),
           fmt::format("{:.2f}", a.memory_bytes_per_s / 1e12),
           fmt::format("{:.0f}", a.link_bytes_per_s / 1e9),
           fmt::format("{:.4g}", a.nic_bytes_per_s / 1e9), fmt::format("{}", a.node),
           fmt::format("{}", a.domain), fmt::format("{:.0f}", a.watts),
           fmt::format("{:.0f}", a.node_watts)});
  }
  return json ? Dump(list) : t.Print(Style::For());
}

std::string TrainText(const TrainQuestion& q, const std::vector<TrainAnswer>& answers,
                      const SearchResult* search, double wall_s, bool json) {
  const ParameterCounts counts = CountParameters(q.shape);
  const bool cost = q.tokens > 0;
  if (json) {
    Json j = {{"model", q.shape.name},
              {"parameters", counts.total()},
              {"active_parameters", counts.active()},
              {"accelerator", q.cluster.accelerator.name},
              {"count", q.cluster.count},
              {"engine", q.keys.engine},
              {"release", q.keys.release},
              {"global_batch", q.work.global_batch},
              {"sequence", q.work.sequence}};
    if (search != nullptr)
      j["search"] = {{"tried", search->tried},
                     {"fitting", search->fitting},
                     {"seconds", wall_s},
                     {"ruled_out", search->ruled_out},
                     {"binding", search->binding}};
    Json list = Json::array();
    for (const TrainAnswer& a : answers) list.push_back(ToJson(a, cost));
    for (size_t i = 1; i < answers.size(); ++i)
      list[i]["loses_because"] = WhyItLoses(answers[0].candidate, answers[i].candidate);
    j["layouts"] = std::move(list);
    return Dump(j);
  }
  std::string out =
      fmt::format("{} ({} parameters, {} active) on {} {}, batch {} x {} tokens, {}{}{}\n",
                  q.shape.name, HumanCount(counts.total()), HumanCount(counts.active()),
                  q.cluster.count, q.cluster.accelerator.name, q.work.global_batch, q.work.sequence,
                  q.keys.engine, q.keys.release.empty() ? "" : " ", q.keys.release);
  if (search != nullptr)
    out += fmt::format("{} layouts tried in {:.2f} s, {} fit\n", search->tried, wall_s,
                       search->fitting);
  if (answers.empty()) return out;
  out += "\n";
  const TrainingModel model(q.shape, q.cluster.accelerator, q.cluster.oversubscription, q.work,
                            KnobTree().At({}));
  Table t(
      {"LAYOUT", ">STEP", "80% OF THE TIME", ">TOKENS/S", ">TF/S EACH", ">MFU", ">GiB", "BINDS"});
  for (const TrainAnswer& a : answers) {
    const TrainPrediction& p = a.candidate.prediction;
    t.Add({Describe(a.candidate.layout), Seconds(p.step_s), Between(a.step_s),
           HumanCount(p.tokens_per_s), fmt::format("{:.0f}", p.model_flops_per_s / 1e12),
           fmt::format("{:.1f}%", 100 * p.mfu), Gib(p.memory.total()),
           WhatBinds(model, a.candidate)});
  }
  out += t.Print(Style::For());
  if (answers.size() > 1) {
    out += "\nWhy the others lose\n";
    for (size_t i = 1; i < answers.size(); ++i)
      out += fmt::format("  {}  {}\n", Describe(answers[i].candidate.layout),
                         WhyItLoses(answers[0].candidate, answers[i].candidate));
  }
  const TrainAnswer& best = answers[0];
  const TrainPrediction& p = best.candidate.prediction;
  out += fmt::format("\nWhere the step goes ({})\n", Describe(best.candidate.layout));
  Table parts({"  PART", ">SECONDS", ">SHARE"});
  for (int i = 0; i < kTimeParts; ++i) {
    const double s = p.parts[static_cast<size_t>(i)];
    if (s / p.step_s < 0.0005) continue;
    parts.Add({"  " + std::string(NameOf(static_cast<TimePart>(i))), fmt::format("{:.4g}", s),
               fmt::format("{:.1f}%", 100 * s / p.step_s)});
  }
  out += parts.Print(Style::For());
  out += "\nMemory of an accelerator, GiB\n";
  Table memory({"  WEIGHTS", ">GRADIENTS", ">OPTIMIZER", ">ACTIVATIONS", ">LOGITS", ">RESERVE",
                ">TOTAL", ">OF"});
  memory.Add({"  " + Gib(p.memory.weights), Gib(p.memory.gradients), Gib(p.memory.optimizer),
              Gib(p.memory.activations), Gib(p.memory.logits), Gib(p.memory.reserve),
              Gib(p.memory.total()), Gib(q.cluster.accelerator.memory_bytes)});
  out += memory.Print(Style::For());
  const Goodput& g = best.goodput;
  out += fmt::format(
      "\nGoodput {:.1f}%: a failure every {}, a checkpoint every {} stalls {}{}\n", 100 * g.share(),
      Seconds(g.mtbf_s), Seconds(g.interval_s), Seconds(g.stall_s),
      g.waiting > 0.0005 ? fmt::format(", {:.1f}% lost to too few spares", 100 * g.waiting) : "");
  if (cost) {
    const RunCost& c = best.cost;
    out += fmt::format("{} tokens: {:.1f} days ({:.1f} .. {:.1f}), {} accelerator-hours",
                       HumanCount(q.tokens), c.days, c.low_days, c.high_days,
                       HumanCount(c.accelerator_hours));
    if (c.dollars > 0)
      out += fmt::format(", {} ({} .. {}), ${:.4f} per million tokens", Dollars(c.dollars),
                         Dollars(c.low_dollars), Dollars(c.high_dollars),
                         c.dollars_per_million_tokens);
    out += fmt::format("\n{:.0f} kW, {:.0f} MWh", c.kilowatts, c.megawatt_hours);
    if (c.tonnes_co2 > 0) out += fmt::format(", {:.1f} t CO2", c.tonnes_co2);
    out += "\n";
  }
  Confidence(out, best.step_s, "the step time");
  return out;
}

std::string ServeText(const ServeQuestion& q, int count, const std::vector<ServeAnswer>& answers,
                      const ServeSearchResult* search, bool json) {
  if (json) {
    Json j = {
        {"model", q.shape.name},   {"accelerator", q.accelerator.name}, {"count", count},
        {"engine", q.keys.engine}, {"release", q.keys.release},         {"input", q.work.input},
        {"output", q.work.output}};
    if (search != nullptr)
      j["search"] = {
          {"tried", search->tried}, {"fitting", search->fitting}, {"binding", search->binding}};
    Json list = Json::array();
    for (const ServeAnswer& a : answers) {
      const ServePrediction& p = a.candidate.prediction;
      Json parts = Json::object();
      for (int i = 0; i < kServeParts; ++i)
        parts[std::string(NameOf(static_cast<ServePart>(i)))] = p.parts[static_cast<size_t>(i)];
      Json layout = {{"workers", a.candidate.layout.workers},
                     {"decode", ToJson(a.candidate.layout.decode)},
                     {"disaggregated", a.candidate.layout.disaggregated},
                     {"precision", NameOf(a.candidate.layout.precision)},
                     {"text", Describe(a.candidate.layout)}};
      if (a.candidate.layout.disaggregated) {
        layout["prefill_workers"] = a.candidate.layout.prefill_workers;
        layout["prefill"] = ToJson(a.candidate.layout.prefill);
      }
      list.push_back(
          {{"layout", std::move(layout)},
           {"concurrency", a.candidate.concurrency},
           {"ttft_s", ToJson(a.ttft_s)},
           {"tpot_s", ToJson(a.tpot_s)},
           {"output_tokens_per_s", p.output_tokens_per_s},
           {"sequences_that_fit", p.fits},
           {"queued_s", p.queued_s},
           {"parts_s", std::move(parts)},
           {"memory_bytes", ToJson(p.memory)},
           {"dollars_per_million_output_tokens", a.dollars_per_million_output_tokens},
           {"kilowatts", a.kilowatts},
           {"grams_co2_per_million_output_tokens", a.grams_co2_per_million_output_tokens}});
    }
    j["layouts"] = std::move(list);
    return Dump(j);
  }
  std::string out = fmt::format("{} on {} {}, {} tokens in, {} out, {}{}{}\n", q.shape.name, count,
                                q.accelerator.name, q.work.input, q.work.output, q.keys.engine,
                                q.keys.release.empty() ? "" : " ", q.keys.release);
  if (search != nullptr)
    out += fmt::format("{} layouts tried, {} meet the targets\n", search->tried, search->fitting);
  if (answers.empty()) return out;
  out += "\n";
  Table t({"LAYOUT", ">CONCURRENT", ">TTFT", "80% OF THE TIME", ">TPOT", "80% OF THE TIME",
           ">OUTPUT TOKENS/S", ">$/M OUTPUT", "BINDS"});
  for (const ServeAnswer& a : answers) {
    const ServePrediction& p = a.candidate.prediction;
    const ServePart part = p.Largest();
    t.Add({Describe(a.candidate.layout), fmt::format("{:.0f}", a.candidate.concurrency),
           Seconds(p.ttft_s), Between(a.ttft_s), Seconds(p.tpot_s), Between(a.tpot_s),
           HumanCount(p.output_tokens_per_s),
           a.dollars_per_million_output_tokens > 0
               ? fmt::format("{:.3f}", a.dollars_per_million_output_tokens)
               : "-",
           fmt::format("{} {:.0f}%{}", NameOf(part),
                       100 * p.parts[static_cast<size_t>(part)] / p.tpot_s,
                       p.queued_s > 0 ? "; cache full, requests queue" : "")});
  }
  out += t.Print(Style::For());
  const ServePrediction& p = answers[0].candidate.prediction;
  out += fmt::format(
      "\nMemory of an accelerator, GiB: weights {}, cache {}, reserve {} of {}; room for {:.0f} "
      "sequences\n{:.1f} kW\n",
      Gib(p.memory.weights), Gib(p.memory.cache), Gib(p.memory.reserve),
      Gib(q.accelerator.memory_bytes), std::floor(p.fits), answers[0].kilowatts);
  Confidence(out, answers[0].tpot_s, "the times");
  return out;
}

std::string OffersText(const std::vector<OfferAnswer>& answers, int64_t deadline, bool json) {
  if (json) {
    Json list = Json::array();
    for (const OfferAnswer& a : answers) {
      Json j = {{"offer", a.offer.name},
                {"accelerator", a.offer.accelerator.name},
                {"count_offered", a.offer.count},
                {"count", a.count},
                {"region", a.offer.region},
                {"price_per_accelerator_hour", a.offer.price_per_accelerator_hour},
                {"possible", a.train.has_value()},
                {"why_not", a.why_not}};
      if (a.train) {
        j["done"] = DayText(a.done_day);
        j["late"] = DayText(a.late_day);
        j["in_time"] = a.in_time;
        j["surely_in_time"] = a.surely_in_time;
        j["answer"] = ToJson(*a.train, true);
      }
      list.push_back(std::move(j));
    }
    return Dump(list);
  }
  Table t({"OFFER", "ACCELERATOR", ">USED", ">$/H EACH", "REGION", ">DAYS", "DONE",
           "AT THE SLOW END", ">COST", ">$/M TOKENS", ">t CO2", "LAYOUT"});
  for (const OfferAnswer& a : answers) {
    if (!a.train) {
      t.Add({a.offer.name, a.offer.accelerator.name, "-",
             fmt::format("{:.2f}", a.offer.price_per_accelerator_hour), a.offer.region, "-", "-",
             "-", "-", "-", "-", a.why_not});
      continue;
    }
    const RunCost& c = a.train->cost;
    const std::string mark = deadline == 0      ? ""
                             : a.surely_in_time ? " in time"
                             : a.in_time        ? " likely"
                                                : " too late";
    t.Add({a.offer.name, a.offer.accelerator.name, fmt::format("{}", a.count),
           fmt::format("{:.2f}", a.offer.price_per_accelerator_hour), a.offer.region,
           fmt::format("{:.1f}", c.days), DayText(a.done_day) + mark, DayText(a.late_day),
           Dollars(c.dollars), fmt::format("{:.4f}", c.dollars_per_million_tokens),
           c.tonnes_co2 > 0 ? fmt::format("{:.1f}", c.tonnes_co2) : "-",
           Describe(a.train->candidate.layout)});
  }
  std::string out = t.Print(Style::For());
  if (!answers.empty() && answers[0].train) {
    const OfferAnswer& best = answers[0];
    if (deadline > 0 && !best.in_time)
      out += fmt::format("\nNone is done by {}; the nearest is {} on {}.\n", DayText(deadline),
                         best.offer.name, DayText(best.done_day));
    else
      out +=
          fmt::format("\nCheapest{}: {}, {} of {} for {}.\n",
                      deadline > 0 ? " by " + DayText(deadline) : "", best.offer.name, best.count,
                      best.offer.accelerator.name, Dollars(best.train->cost.dollars));
  } else if (!answers.empty()) {
    out += "\nNone of these offers can train it.\n";
  }
  return out;
}

std::string FabricText(const Fabric& f, bool json) {
  const FabricRequest& r = f.request;
  if (json) {
    return Dump({{"nodes", r.nodes},
                 {"nics", r.nics},
                 {"radix", r.radix},
                 {"breakout", r.breakout},
                 {"oversubscription", r.oversubscription},
                 {"tiers", f.tiers},
                 {"leaf_switches", f.leaves},
                 {"spine_switches", f.spines},
                 {"core_switches", f.cores},
                 {"leaves_per_rail", f.leaves_per_rail},
                 {"nodes_per_leaf", f.nodes_per_leaf},
                 {"uplinks_per_leaf", f.uplinks_per_leaf},
                 {"node_cables", f.node_cables},
                 {"spine_cables", f.spine_cables},
                 {"core_cables", f.core_cables},
                 {"transceivers", f.optics},
                 {"bisection_bytes_per_s", f.bisection_bytes_per_s},
                 {"nodes_that_could_join", f.free_node_ports}});
  }
  std::string out = fmt::format(
      "Rail-optimised fat tree, {} tier{}: {} nodes x {} NICs at {:.0f} Gbit/s, {}-port switches, "
      "oversubscription {:g}:1\n\n",
      f.tiers, f.tiers == 1 ? "" : "s", r.nodes, r.nics, r.gbit_per_s, r.radix, r.oversubscription);
  Table t({"ITEM", ">COUNT", "NOTE"});
  t.Add({"leaf switches", fmt::format("{}", f.leaves),
         fmt::format("{} per rail, {} nodes and {} uplinks each", f.leaves_per_rail,
                     f.nodes_per_leaf, f.uplinks_per_leaf)});
  if (f.spines > 0) t.Add({"spine switches", fmt::format("{}", f.spines), ""});
  if (f.cores > 0) t.Add({"core switches", fmt::format("{}", f.cores), ""});
  t.Add({"switches in all", fmt::format("{}", f.switches()), ""});
  t.Add({"cables node to leaf", fmt::format("{}", f.node_cables), ""});
  if (f.spine_cables > 0) t.Add({"cables leaf to spine", fmt::format("{}", f.spine_cables), ""});
  if (f.core_cables > 0) t.Add({"cables spine to core", fmt::format("{}", f.core_cables), ""});
  t.Add({"transceivers", fmt::format("{}", f.optics), "two a cable"});
  t.Add({"bisection", fmt::format("{:.1f}", f.bisection_bytes_per_s * 8 / 1e12), "Tbit/s one way"});
  t.Add({"nodes that could join", fmt::format("{}", f.free_node_ports), "without another leaf"});
  return out + t.Print(Style::For());
}

std::string CheckText(const CheckReport& r, bool json) {
  const auto stats = [](const ErrorStats& s) {
    return Json{{"rows", s.rows}, {"mean_error", s.mean_error}, {"median_error", s.median_error},
                {"bias", s.bias}, {"coverage", s.coverage()},   {"exact", s.exact}};
  };
  if (json) {
    Json j = {{"quantities", Json::object()},
              {"models", Json::object()},
              {"systems", Json::object()},
              {"releases", Json::object()}};
    for (const auto& [q, s] : r.by_quantity) j["quantities"][q] = stats(s);
    for (const auto& [field, group] :
         {std::pair{"models", &r.by_model}, {"systems", &r.by_system}, {"releases", &r.by_release}})
      for (const auto& [q, inner] : *group)
        for (const auto& [name, s] : inner) j[field][q][name] = stats(s);
    j["pairs"] = {{"compared", r.pairs.pairs}, {"right", r.pairs.right}};
    Json rows = Json::array();
    for (const CheckedRow& c : r.rows)
      rows.push_back({{"line", c.line},
                      {"table", c.table},
                      {"quantity", c.quantity},
                      {"model", c.model},
                      {"system", c.system},
                      {"release", c.release},
                      {"config", c.config},
                      {"measured", c.measured},
                      {"predicted", c.predicted},
                      {"low", c.low},
                      {"high", c.high},
                      {"extrapolates", c.extrapolates},
                      {"stated", c.stated}});
    j["rows"] = std::move(rows);
    Json skipped = Json::array();
    for (const SkippedRow& s : r.skipped) skipped.push_back({{"line", s.line}, {"why", s.why}});
    j["skipped"] = std::move(skipped);
    return Dump(j);
  }
  const auto add = [](Table& t, const std::string& a, const std::string& b, const ErrorStats& s) {
    t.Add({a, b, fmt::format("{}", s.rows), fmt::format("{:.1f}%", 100 * s.mean_error),
           fmt::format("{:.1f}%", 100 * s.median_error), fmt::format("{:+.1f}%", 100 * s.bias),
           fmt::format("{:.0f}%", 100 * s.coverage())});
  };
  const std::vector<std::string> heads = {"QUANTITY", "",      ">ROWS",          ">MEAN ERROR",
                                          ">MEDIAN",  ">BIAS", ">WITHIN 80% BAR"};
  std::string out;
  const auto section = [&](const std::string& title,
                           const std::map<std::string, std::map<std::string, ErrorStats>>& group) {
    std::vector<std::string> h = heads;
    h[1] = title;
    Table t(h);
    for (const auto& [q, inner] : group)
      for (const auto& [name, s] : inner) add(t, q, name, s);
    out += t.Print(Style::For()) + "\n";
  };
  section("MODEL", r.by_model);
  section("SYSTEM", r.by_system);
  section("RELEASE", r.by_release);
  Table all(heads);
  for (const auto& [q, s] : r.by_quantity) add(all, q, "all", s);
  out += all.Print(Style::For());
  if (r.pairs.pairs > 0)
    out += fmt::format(
        "\nOf {} pairs of layouts of one model, the faster was preferred in {} ({:.1f}%).\n",
        r.pairs.pairs, r.pairs.right, 100 * r.pairs.share());
  if (!r.worst.empty() && std::abs(r.rows[r.worst[0]].error()) > 1e-9) {
    out += "\nThe worst rows\n";
    Table t({">LINE", "QUANTITY", "MODEL", "SYSTEM", "RELEASE", ">MEASURED", ">PREDICTED",
             "CONFIGURATION"});
    for (const size_t i : r.worst) {
      const CheckedRow& c = r.rows[i];
      t.Add({fmt::format("{}", c.line), c.quantity, Printable(c.model), Printable(c.system),
             Printable(c.release), fmt::format("{:.4g}", c.measured),
             fmt::format("{:.4g}", c.predicted), Printable(c.config)});
    }
    out += t.Print(Style::For());
  }
  if (!r.skipped.empty()) {
    out +=
        fmt::format("\n{} row{} left out:\n", r.skipped.size(), r.skipped.size() == 1 ? "" : "s");
    for (size_t i = 0; i < r.skipped.size() && i < 5; ++i)
      out += fmt::format("  line {}: {}\n", r.skipped[i].line, Printable(r.skipped[i].why));
    if (r.skipped.size() > 5) out += "  ...\n";
  }
  return out;
}

}  // namespace weir::app
