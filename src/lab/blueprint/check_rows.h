// `weir blueprint check`: every row of a table predicted, and how wrong that was.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lab/blueprint/calibration.h"

namespace weir::blueprint {

struct ErrorStats {
  int rows = 0;
  double mean_error = 0;  // mean |predicted / measured - 1|
  double median_error = 0;
  double bias = 0;  // mean of predicted / measured - 1
  int covered = 0;  // measured lies within the 80% interval
  int exact = 0;
  double coverage() const { return rows > 0 ? static_cast<double>(covered) / rows : 0; }
};

struct CheckedRow {
  std::string table, quantity, model, system, release, config;
  int line = 0;
  double measured = 0, predicted = 0, low = 0, high = 0;
  bool extrapolates = false, stated = true;
  double error() const { return measured != 0 ? predicted / measured - 1 : predicted == 0 ? 0 : 1; }
};

// Two layouts of one model on the same machines: is the faster one preferred?
struct PairStats {
  int pairs = 0, right = 0;
  double share() const { return pairs > 0 ? static_cast<double>(right) / pairs : 1; }
};

struct CheckReport {
  std::vector<CheckedRow> rows;
  std::map<std::string, ErrorStats> by_quantity;  // "TPOT"; "TPOT (workers not stated)" apart
  std::map<std::string, std::map<std::string, ErrorStats>> by_model, by_system,
      by_release;  // quantity -> name
  PairStats pairs;
  std::vector<SkippedRow> skipped;
  std::vector<size_t> worst;  // indexes of `rows`, the largest error first, at most 10
};

CheckReport CheckRows(const Calibration& calibration, const std::vector<RowTable>& tables);

// Over any checked rows: pairs of training rows that share table, model, system, release and
// everything of the question but the layout, and whose measurements differ by more than 2%.
PairStats ComparePairs(const std::vector<const Row*>& rows, const std::vector<double>& predicted);

}  // namespace weir::blueprint
