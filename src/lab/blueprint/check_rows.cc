#include "lab/blueprint/check_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace weir::blueprint {

namespace {

struct Gathered {
  std::vector<double> errors;
  int covered = 0;
};

ErrorStats Summarise(Gathered& g) {
  ErrorStats s;
  s.rows = static_cast<int>(g.errors.size());
  s.covered = g.covered;
  if (g.errors.empty()) return s;
  for (double& e : g.errors) {
    s.bias += e;
    e = std::abs(e);
    s.mean_error += e;
    s.exact += e < 1e-9;
  }
  s.bias /= s.rows;
  s.mean_error /= s.rows;
  const size_t middle = g.errors.size() / 2;
  std::nth_element(g.errors.begin(), g.errors.begin() + static_cast<std::ptrdiff_t>(middle),
                   g.errors.end());
  s.median_error = g.errors[middle];
  return s;
}

}  // namespace

PairStats ComparePairs(const std::vector<const Row*>& rows, const std::vector<double>& predicted) {
  PairStats out;
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = i + 1; j < rows.size(); ++j) {
      const Row &a = *rows[i], &b = *rows[j];
      if (a.kind != RowKind::kTraining || b.kind != RowKind::kTraining) continue;
      if (a.table != b.table || a.model != b.model || a.system != b.system ||
          a.release != b.release)
        continue;
      if (a.accelerators != b.accelerators || a.train_work.sequence != b.train_work.sequence ||
          a.train_work.global_batch != b.train_work.global_batch ||
          a.train_work.adapters != b.train_work.adapters)
        continue;
      if (Describe(a.layout) == Describe(b.layout)) continue;
      const double ma = a.measured[0].value, mb = b.measured[0].value;
      if (std::abs(std::log(ma / mb)) < 0.02) continue;  // a draw
      ++out.pairs;
      out.right += (ma < mb) == (predicted[i] < predicted[j]);
    }
  }
  return out;
}

CheckReport CheckRows(const Calibration& calibration, const std::vector<RowTable>& tables) {
  CheckReport out;
  std::map<std::string, Gathered> quantity;
  std::map<std::string, std::map<std::string, Gathered>> model, system, release;
  std::vector<const Row*> training;
  std::vector<double> training_predicted;
  for (const RowTable& t : tables) {
    out.skipped.insert(out.skipped.end(), t.skipped.begin(), t.skipped.end());
    for (const Row& r : t.rows) {
      const std::vector<double> predicted = PredictRow(r, calibration.knobs.At(r.keys));
      for (size_t q = 0; q < r.measured.size(); ++q) {
        CheckedRow c;
        c.table = r.table;
        c.quantity = r.measured[q].quantity;
        c.model = r.model;
        c.system = r.system;
        c.release = r.release;
        c.config = r.config;
        c.line = r.line;
        c.measured = r.measured[q].value;
        c.predicted = predicted[q];
        c.stated = r.stated;
        const bool counted = r.kind == RowKind::kNetwork || r.kind == RowKind::kTrainingMemory;
        if (counted) {
          // Counted, not measured: the closed form is exact or wrong.
          c.low = c.predicted * 0.97;
          c.high = c.predicted * 1.03;
        } else {
          const Estimate e = WithError(calibration, r, c.quantity, c.predicted);
          c.low = e.low;
          c.high = e.high;
          c.extrapolates = e.extrapolates;
        }
        const std::string name = c.stated ? c.quantity : c.quantity + " (workers not stated)";
        for (Gathered* g : {&quantity[name], &model[name][c.model], &system[name][c.system],
                            &release[name][c.release.empty() ? "-" : c.release]}) {
          g->errors.push_back(c.error());
          g->covered += c.measured >= c.low && c.measured <= c.high;
        }
        out.rows.push_back(std::move(c));
      }
      if (r.kind == RowKind::kTraining) {
        training.push_back(&r);
        training_predicted.push_back(predicted[0]);
      }
    }
  }
  for (auto& [name, g] : quantity) out.by_quantity[name] = Summarise(g);
  for (auto& [name, inner] : model)
    for (auto& [key, g] : inner) out.by_model[name][key] = Summarise(g);
  for (auto& [name, inner] : system)
    for (auto& [key, g] : inner) out.by_system[name][key] = Summarise(g);
  for (auto& [name, inner] : release)
    for (auto& [key, g] : inner) out.by_release[name][key] = Summarise(g);
  out.pairs = ComparePairs(training, training_predicted);
  std::vector<size_t> order(out.rows.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const size_t kept = std::min<size_t>(10, order.size());
  const auto badness = [&](size_t i) {
    return out.rows[i].predicted > 0 && out.rows[i].measured > 0
               ? std::abs(std::log(out.rows[i].predicted / out.rows[i].measured))
               : std::abs(out.rows[i].error());
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                    [&](size_t a, size_t b) {
                      const double ea = badness(a), eb = badness(b);
                      return ea != eb ? ea > eb : a < b;
                    });
  out.worst.assign(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept));
  return out;
}

}  // namespace weir::blueprint
