// A calibration: the fitted knobs, how wrong they were on rows that they had not seen, and those
// rows, so that every answer can have an error bar and name the nearest measurement.
//
// Error bars. Each row is predicted twice by fits that had not seen it: once with a fifth of the
// rows left out (whole configurations, not single rows), once with all rows of its model left out.
// The tenth and ninetieth percentiles of log(measured / predicted) of the first are the 80%
// interval for models that the calibration knows, of the second for models that it does not. They
// are kept by quantity and engine, and by quantity alone for engines with too few rows. A question
// far outside of all rows gets the interval of unknown models, doubled, and says that it
// extrapolates.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/blueprint/knobs.h"
#include "lab/blueprint/rows.h"

namespace weir::blueprint {

struct Band {
  double low = -0.3, high = 0.3;  // of log(measured / predicted), 80% between
  int rows = 0;
  double mean_error = 0;  // mean |predicted / measured - 1|
};

// A measured row as the calibration remembers it.
struct KnownRow {
  std::string quantity, table, model, accelerator, engine, release, config;
  double measured = 0, fitted = 0, held_out = 0, new_model = 0;
  // Where it lies, for distances: logs of accelerators, size of the model, sequence or input, batch
  // or concurrency, and the share of precision.
  std::array<double, 6> place{};
  std::string plain_model;  // PlainName(model)
};

struct Calibration {
  KnobTree knobs;
  std::map<std::string, Band> bands;  // "step time|megatron-bridge|known", "TPOT||new", ...
  std::vector<KnownRow> rows;
};

struct Estimate {
  double value = 0, low = 0, high = 0;  // 80% interval
  bool known_model = false;
  bool extrapolates = false;
  std::string why;      // what it extrapolates in, empty if it does not
  std::string nearest;  // the nearest measured row and how far off the fit is there; may be empty
};

// The places of questions, comparable with those of rows.
std::array<double, 6> PlaceOf(const Row& row);

// An error bar for `value` of the question `row` (its measured values are not looked at).
Estimate WithError(const Calibration& c, const Row& question, std::string_view quantity,
                   double value);

struct CalibrateOptions {
  int folds = 5;
  bool cross_validate = true;  // without it bands are missing
};
// Fits all rows of all tables together. kInvalidArgument when there is nothing to fit.
Result<Calibration> Calibrate(const std::vector<RowTable>& tables, const CalibrateOptions& options);

// The readable form: TOML with every knob, its prior and meaning; the rows as CSV beside it.
std::string ToToml(const Calibration& c);
std::string RowsToCsv(const Calibration& c);
Result<Calibration> FromText(std::string_view toml, std::string_view rows_csv);

// The calibration that the program carries.
const Calibration& BuiltinCalibration();
std::string_view BuiltinToml();
std::string_view BuiltinRowsCsv();

}  // namespace weir::blueprint
