#include "lab/blueprint/plan_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/csv.h"
#include "lab/blueprint/spec.h"

namespace weir::blueprint {

std::string DefaultTrainEngine(const Accelerator& a) {
  return a.name.starts_with("a100") || a.name.starts_with("v100") ? "megatron-lm"
                                                                  : "megatron-bridge";
}
std::string DefaultServeEngine(const Accelerator&) { return "vllm"; }

namespace {

Row QuestionRow(const TrainQuestion& q, const Layout& layout) {
  Row r;
  r.kind = RowKind::kTraining;
  r.model = q.shape.name;
  r.shape = q.shape;
  r.accelerator = q.cluster.accelerator;
  r.keys = q.keys;
  r.keys.accelerator = q.cluster.accelerator.name;
  r.train_work = q.work;
  r.layout = layout;
  r.accelerators = q.cluster.count;
  return r;
}

Coefficients Knobs(const Calibration& c, Keys keys, const Accelerator& a) {
  keys.accelerator = a.name;
  return c.knobs.At(keys);
}

TrainAnswer Finish(const Calibration& c, const TrainQuestion& q, Candidate candidate) {
  TrainAnswer out;
  out.candidate = std::move(candidate);
  const TrainPrediction& p = out.candidate.prediction;
  out.step_s = WithError(c, QuestionRow(q, out.candidate.layout), "step time", p.step_s);
  out.goodput = GoodputOf(q.cluster, CountParameters(q.shape).total(), q.reliability);
  const double tokens_per_step = q.work.global_batch * q.work.sequence;
  out.cost = CostOf(q.cluster, out.goodput, q.reliability, q.site, q.tokens, p.tokens_per_s,
                    tokens_per_step / out.step_s.high, tokens_per_step / out.step_s.low);
  return out;
}

}  // namespace

TrainAnswer Answer(const Calibration& c, const TrainQuestion& q, const Layout& layout) {
  const TrainingModel model(q.shape, q.cluster.accelerator, q.cluster.oversubscription, q.work,
                            Knobs(c, q.keys, q.cluster.accelerator));
  return Finish(c, q, {layout, model.Predict(layout)});
}

std::vector<TrainAnswer> SearchAnswers(const Calibration& c, const TrainQuestion& q,
                                       const SearchSpace& space, SearchResult* search) {
  const TrainingModel model(q.shape, q.cluster.accelerator, q.cluster.oversubscription, q.work,
                            Knobs(c, q.keys, q.cluster.accelerator));
  *search = SearchLayouts(model, space);
  std::vector<TrainAnswer> out;
  for (const Candidate& candidate : search->best) out.push_back(Finish(c, q, candidate));
  return out;
}

ServeAnswer Answer(const Calibration& c, const ServeQuestion& q, const ServeCandidate& candidate) {
  ServeAnswer out;
  out.candidate = candidate;
  Row r;
  r.kind = RowKind::kServing;
  r.model = q.shape.name;
  r.shape = q.shape;
  r.accelerator = q.accelerator;
  r.keys = q.keys;
  r.keys.accelerator = q.accelerator.name;
  r.serve_work = q.work;
  r.serve_work.concurrency = candidate.concurrency;
  r.serve_layout = candidate.layout;
  r.accelerators = candidate.layout.accelerators();
  out.ttft_s = WithError(c, r, "TTFT", candidate.prediction.ttft_s);
  out.tpot_s = WithError(c, r, "TPOT", candidate.prediction.tpot_s);
  const double per_hour = candidate.prediction.output_tokens_per_s * 3600;
  out.kilowatts =
      r.accelerators * q.accelerator.node_watts * q.site.power_share * q.site.pue / 1000;
  if (per_hour > 0) {
    out.dollars_per_million_output_tokens =
        r.accelerators * q.site.price_per_accelerator_hour / per_hour * 1e6;
    out.grams_co2_per_million_output_tokens =
        out.kilowatts * q.site.grams_co2_per_kwh / per_hour * 1e6;
  }
  return out;
}

std::vector<OfferAnswer> CompareOffers(const Calibration& c, const TrainQuestion& base,
                                       const std::vector<OfferTerms>& offers,
                                       const SearchSpace& space, int64_t deadline) {
  std::vector<OfferAnswer> out;
  for (const OfferTerms& offer : offers) {
    OfferAnswer best;
    best.offer = offer;
    best.why_not = "nothing of it can be used";
    bool have = false;
    // Whole nodes: all of the offer, then halves: a smaller part may be cheap enough to win in
    // time.
    for (int count = offer.count; count >= 1; count /= 2) {
      TrainQuestion q = base;
      q.cluster.accelerator = offer.accelerator;
      q.cluster.count = count;
      q.site.price_per_accelerator_hour = offer.price_per_accelerator_hour;
      if (offer.grams_co2_per_kwh > 0) q.site.grams_co2_per_kwh = offer.grams_co2_per_kwh;
      if (base.keys.engine.empty()) q.keys.engine = DefaultTrainEngine(offer.accelerator);
      SearchSpace s = space;
      s.count = count;
      s.keep = 1;
      std::erase_if(s.precisions, [&](Precision p) { return offer.accelerator.Flops(p) <= 0; });
      if (s.precisions.empty()) s.precisions = {Precision::kBf16};
      SearchResult search;
      std::vector<TrainAnswer> answers = SearchAnswers(c, q, s, &search);
      if (answers.empty()) {
        if (!have) best.why_not = search.binding;
        if (count <= offer.accelerator.node) break;
        continue;
      }
      OfferAnswer a;
      a.offer = offer;
      a.count = count;
      a.train = std::move(answers[0]);
      a.done_day = offer.first_day + static_cast<int64_t>(std::ceil(a.train->cost.days));
      a.late_day = offer.first_day + static_cast<int64_t>(std::ceil(a.train->cost.high_days));
      a.in_time = deadline == 0 || a.done_day <= deadline;
      a.surely_in_time = deadline == 0 || a.late_day <= deadline;
      const auto better = [](const OfferAnswer& x, const OfferAnswer& y) {
        if (x.in_time != y.in_time) return x.in_time;
        return x.in_time ? x.train->cost.dollars < y.train->cost.dollars : x.done_day < y.done_day;
      };
      // Without a deadline all of the offer is meant; fewer would only take longer.
      if (!have || better(a, best)) best = std::move(a);
      have = true;
      if (deadline == 0 || count <= offer.accelerator.node) break;
    }
    out.push_back(std::move(best));
  }
  std::stable_sort(out.begin(), out.end(), [](const OfferAnswer& a, const OfferAnswer& b) {
    const bool can_a = a.train.has_value(), can_b = b.train.has_value();
    if (can_a != can_b) return can_a;
    if (!can_a) return false;
    if (a.in_time != b.in_time) return a.in_time;
    if (a.in_time) return a.train->cost.dollars < b.train->cost.dollars;
    return a.done_day < b.done_day;
  });
  return out;
}

Result<std::vector<OfferTerms>> ReadOffers(std::string_view text, std::string_view source,
                                           int64_t today) {
  const auto parsed = CsvTable::Parse(text);
  if (!parsed) return Error(parsed.error()).In(source);
  const CsvTable& t = *parsed;
  const std::string price =
      t.Has("usd_per_accelerator_hour") ? "usd_per_accelerator_hour" : "on_demand_usd_per_accel_h";
  const std::string count = t.Has("count") ? "count" : "accelerator_count";
  for (const std::string& column : {std::string("accelerator"), price, count}) {
    if (!t.Has(column))
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: column \"{}\" is missing", source, column))
          .Hint(
              "an offer needs provider, accelerator, count, usd_per_accelerator_hour, region and "
              "from (a date)");
  }
  std::vector<OfferTerms> out;
  for (size_t i = 0; i < t.size(); ++i) {
    const auto in = [&](Error e) { return std::move(e).In(source); };
    OfferTerms o;
    const auto dollars = t.Number(i, price);
    if (!dollars) return in(dollars.error());
    if (!*dollars) continue;
    if (**dollars < 0)
      return in(Error(Code::kInvalidArgument,
                      fmt::format("line {}: a price of {} is below zero", t.Line(i), **dollars)));
    o.price_per_accelerator_hour = **dollars;
    const auto a = FindAccelerator(t.Cell(i, "accelerator"));
    if (!a)
      return in(Error(a.error().code(), fmt::format("line {}: {}", t.Line(i), a.error().message()))
                    .Hint(a.error().hint()));
    o.accelerator = *a;
    const auto n = t.Positive(i, count);
    if (!n) return in(n.error());
    if (*n != std::floor(*n) || *n > 1e6)
      return in(Error(
          Code::kInvalidArgument,
          fmt::format("line {}: a count of {} is no whole number up to a million", t.Line(i), *n)));
    o.count = static_cast<int>(*n);
    o.region = t.Cell(i, "region");
    if (const auto carbon = CarbonOf(o.region); carbon) o.grams_co2_per_kwh = *carbon;
    o.first_day = today;
    if (const std::string& from = t.Cell(i, "from"); !from.empty()) {
      const auto day = ParseDay(from, fmt::format("line {}: from", t.Line(i)));
      if (!day) return in(day.error());
      o.first_day = *day;
    }
    o.name = t.Cell(i, "name");
    if (o.name.empty()) {
      o.name = t.Cell(i, "provider");
      if (const std::string& type = t.Cell(i, "instance_type"); !type.empty()) o.name += " " + type;
    }
    out.push_back(std::move(o));
  }
  if (out.empty())
    return Error(Code::kInvalidArgument, fmt::format("{}: no row has a price", source));
  return out;
}

}  // namespace weir::blueprint
