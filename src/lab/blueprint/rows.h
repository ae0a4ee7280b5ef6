// Published tables of measurements, read into questions that the models can answer.
//
// The kind is told by the columns (docs/blueprint.md lists them):
//   training     iter_ms (vTrain), kind/measured/tp_comm (Calculon), tok_s_gpu (Megatron-Bridge)
//   serving      silicon_ttft_ms, silicon_tpot_ms (aiconfigurator)
//   network      ref_arch, leaf, spine (reference designs)
//   all-reduce   oop_time_ns (collective tests)
//
// A row of a model or accelerator that is not known is not an error of the table: it is kept in
// `skipped` with its reason, and everything else is used.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/blueprint/fabric.h"
#include "lab/blueprint/knobs.h"
#include "lab/blueprint/serving.h"
#include "lab/blueprint/training.h"

namespace weir::blueprint {

enum class RowKind { kTraining, kTrainingMemory, kServing, kNetwork, kAllReduce };

struct Measured {
  std::string
      quantity;      // "step time", "TTFT", "TPOT", "all-reduce", "memory", "leaf switches", ...
  double value = 0;  // seconds, bytes, percent or a count
};

struct Row {
  RowKind kind = RowKind::kTraining;
  std::string table;  // "vtrain-single", "vtrain-multi", "calculon", "bridge", "serving", ...
  int line = 0;
  std::string model, system, release;  // as the source writes them; what errors are grouped by
  std::string config;                  // the rest, for people
  Keys keys;

  ModelShape shape;
  Accelerator accelerator;
  // kTraining, kTrainingMemory
  TrainWork train_work;
  Layout layout;
  double accelerators = 0;
  std::string memory_kind;  // "par_opt_GiB", "act_GiB", "act_pct"
  // kServing
  ServeWork serve_work;
  ServeLayout serve_layout;
  bool stated = true;  // the row says how many workers there are; without that it is a guess
  // kAllReduce
  int ranks = 0;
  double bytes = 0;
  // kNetwork
  FabricRequest fabric;

  std::vector<Measured> measured;
};

struct SkippedRow {
  int line;
  std::string why;
};

struct RowTable {
  std::string table;
  std::vector<Row> rows;
  std::vector<SkippedRow> skipped;
};

// `source` names the file in errors.
Result<RowTable> ReadRows(std::string_view text, std::string_view source);

// One value per measured quantity of the row.
std::vector<double> PredictRow(const Row& row, const Coefficients& c);

// The question without its answer: rows of equal signature are measurements of one thing.
std::string Signature(const Row& row);

}  // namespace weir::blueprint
