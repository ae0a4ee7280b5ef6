#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "lab/blueprint/calibration.h"
#include "lab/blueprint/fit.h"

namespace weir::blueprint {

namespace {

// How far a row may be off before it pulls less, and how much tables weigh: a table of four rows
// speaks as loud as fifty, one of seven hundred like two hundred.
double ScaleOf(std::string_view quantity) {
  if (quantity == "TTFT") return 0.3;
  if (quantity == "TPOT") return 0.12;
  return 0.07;
}

bool Fitted(const Row& r) {
  return (r.kind == RowKind::kTraining || r.kind == RowKind::kServing ||
          r.kind == RowKind::kAllReduce) &&
         r.stated;
}

struct Problem {
  std::vector<const Row*> rows;
  bool (*scope)(Knob);
};

FitItem ItemOf(const Row& row, double weight) {
  return {row.keys, [&row, weight](const Coefficients& c, double* out) {
            const std::vector<double> predicted = PredictRow(row, c);
            for (size_t q = 0; q < predicted.size(); ++q)
              out[q] = weight * std::log(predicted[q] / row.measured[q].value) /
                       ScaleOf(row.measured[q].quantity);
            return static_cast<int>(predicted.size());
          }};
}

KnobTree FitRows(const Problem& p, const std::vector<bool>& left_out, const KnobTree& start,
                 int iterations) {
  std::map<std::string, int> of_table;
  for (const Row* r : p.rows) ++of_table[r->table];
  std::map<std::string, int> of_signature;
  for (const Row* r : p.rows) ++of_signature[Signature(*r)];
  std::vector<FitItem> items;
  for (size_t i = 0; i < p.rows.size(); ++i) {
    if (left_out[i]) continue;
    const Row& r = *p.rows[i];
    double weight =
        r.kind == RowKind::kTraining ? std::clamp(200.0 / of_table[r.table], 0.4, 12.0) : 1;
    weight /= of_signature[Signature(r)];  // repeated rows count as one
    items.push_back(ItemOf(r, std::sqrt(weight)));
  }
  FitOptions options;
  options.in_scope = p.scope;
  options.iterations = iterations;
  return Fit(items, options, start).tree;
}

double Quantile(std::vector<double> sorted, double q) {
  // The conformal form: with n residuals the q-quantile of n + 1, which a new row exceeds as often
  // as it should.
  std::sort(sorted.begin(), sorted.end());
  const double n = static_cast<double>(sorted.size());
  const double at = std::clamp(q * (n + 1) - 1, 0.0, n - 1);
  const size_t low = static_cast<size_t>(at);
  const size_t high = std::min(sorted.size() - 1, low + 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

Band BandOf(const std::vector<double>& logs) {
  Band b;
  b.rows = static_cast<int>(logs.size());
  if (logs.empty()) return b;
  b.low = std::min(-0.01, Quantile(logs, 0.1));
  b.high = std::max(0.01, Quantile(logs, 0.9));
  b.mean_error = 0;
  for (const double r : logs) b.mean_error += std::abs(std::exp(-r) - 1);
  b.mean_error /= static_cast<double>(logs.size());
  return b;
}

// Rows of one name in two spellings are one model.
std::string ModelKey(const Row& r) { return r.shape.name.empty() ? r.model : r.shape.name; }

}  // namespace

std::array<double, 6> PlaceOf(const Row& r) {
  const auto lg = [](double v) { return std::log2(std::max(v, 1e-3)); };
  switch (r.kind) {
    case RowKind::kTraining:
    case RowKind::kTrainingMemory: {
      const ParameterCounts p = CountParameters(r.shape);
      return {lg(r.accelerators),
              lg(p.active()),
              lg(p.total() / p.active()),
              lg(r.train_work.sequence),
              lg(r.train_work.global_batch * r.train_work.sequence / std::max(1.0, r.accelerators)),
              static_cast<double>(r.layout.precision)};
    }
    case RowKind::kServing: {
      const ParameterCounts p = CountParameters(r.shape);
      return {lg(r.serve_layout.accelerators()),
              lg(p.active()),
              lg(p.total() / p.active()),
              lg(r.serve_work.input),
              lg(r.serve_work.concurrency / r.serve_layout.accelerators()),
              static_cast<double>(r.serve_layout.precision)};
    }
    case RowKind::kAllReduce:
      return {lg(r.ranks), lg(r.bytes), 0, 0, 0, 0};
    case RowKind::kNetwork:
      return {lg(r.fabric.nodes), 0, 0, 0, 0, 0};
  }
  return {};
}

Result<Calibration> Calibrate(const std::vector<RowTable>& tables,
                              const CalibrateOptions& options) {
  Calibration out;
  const std::array<bool (*)(Knob), 3> scopes = {IsTrainKnob, IsServeKnob, IsReduceKnob};
  const std::array<RowKind, 3> kinds = {RowKind::kTraining, RowKind::kServing, RowKind::kAllReduce};
  std::map<std::string, std::vector<double>> known, fresh;
  for (size_t s = 0; s < kinds.size(); ++s) {
    Problem p{{}, scopes[s]};
    for (const RowTable& t : tables)
      for (const Row& r : t.rows)
        if (r.kind == kinds[s] && Fitted(r)) p.rows.push_back(&r);
    if (p.rows.empty()) continue;
    const size_t n = p.rows.size();
    out.knobs = FitRows(p, std::vector<bool>(n, false), out.knobs, 60);

    std::vector<KnownRow> memory;
    std::vector<std::vector<double>> fitted(n), held(n), unseen(n);
    for (size_t i = 0; i < n; ++i)
      fitted[i] = PredictRow(*p.rows[i], out.knobs.At(p.rows[i]->keys));
    held = unseen = fitted;
    if (options.cross_validate) {
      // Folds by configuration, dealt in the order of their names: repeats stay together.
      std::set<std::string> names;
      for (const Row* r : p.rows) names.insert(Signature(*r));
      std::map<std::string, int> fold;
      uint64_t deal = 0;
      for (const std::string& name : names) {
        deal = deal * 6364136223846793005u + 1442695040888963407u;
        fold[name] = static_cast<int>((deal >> 33) % static_cast<uint64_t>(options.folds));
      }
      for (int f = 0; f < options.folds; ++f) {
        std::vector<bool> out_of_it(n);
        for (size_t i = 0; i < n; ++i) out_of_it[i] = fold[Signature(*p.rows[i])] == f;
        const KnobTree tree = FitRows(p, out_of_it, out.knobs, 15);
        for (size_t i = 0; i < n; ++i)
          if (out_of_it[i]) held[i] = PredictRow(*p.rows[i], tree.At(p.rows[i]->keys));
      }
      std::set<std::string> models;
      for (const Row* r : p.rows) models.insert(ModelKey(*r));
      for (const std::string& m : models) {
        if (kinds[s] == RowKind::kAllReduce) break;
        // Each small shape of the single-host table is a "model" of its own: leaving one of dozens
        // out costs a fit each and tells what the folds tell.
        const Row* first = *std::find_if(p.rows.begin(), p.rows.end(),
                                         [&](const Row* r) { return ModelKey(*r) == m; });
        std::vector<bool> out_of_it(n);
        for (size_t i = 0; i < n; ++i) out_of_it[i] = ModelKey(*p.rows[i]) == m;
        // From the prior, not from the fit that had seen them.
        const KnobTree tree =
            FitRows(p, out_of_it, first->table == "vtrain-single" ? out.knobs : KnobTree(),
                    first->table == "vtrain-single" ? 15 : 40);
        for (size_t i = 0; i < n; ++i)
          if (out_of_it[i]) unseen[i] = PredictRow(*p.rows[i], tree.At(p.rows[i]->keys));
      }
    }
    for (size_t i = 0; i < n; ++i) {
      const Row& r = *p.rows[i];
      for (size_t q = 0; q < r.measured.size(); ++q) {
        KnownRow k;
        k.quantity = r.measured[q].quantity;
        k.table = r.table;
        k.model = r.model;
        k.plain_model = PlainName(r.model);
        k.accelerator = r.accelerator.name;
        k.engine = r.keys.engine;
        k.release = r.release;
        k.config = r.config;
        k.measured = r.measured[q].value;
        k.fitted = fitted[i][q];
        k.held_out = held[i][q];
        k.new_model = unseen[i][q];
        k.place = PlaceOf(r);
        out.rows.push_back(std::move(k));
        const double a = std::log(r.measured[q].value / held[i][q]),
                     b = std::log(r.measured[q].value / unseen[i][q]);
        for (const std::string& engine : {r.keys.engine, std::string()}) {
          const std::string name = r.measured[q].quantity + "|" + engine + "|";
          known[name + "known"].push_back(a);
          fresh[name + "new"].push_back(b);
          if (r.keys.engine.empty()) break;
        }
      }
    }
  }
  if (out.rows.empty())
    return Error(Code::kInvalidArgument, "there is no row to calibrate on")
        .Hint("training, serving and all-reduce tables are; network tables need no calibration");
  constexpr size_t kEnough = 20;
  for (const auto* group : {&known, &fresh})
    for (const auto& [name, logs] : *group)
      if (logs.size() >= kEnough || name.find("||") != std::string::npos)
        out.bands[name] = BandOf(logs);
  return out;
}

}  // namespace weir::blueprint
