// bench/blueprint: what `weir blueprint` claims, measured.
//
//   blueprint_bench --rows FOLDER [--json]
//
// FOLDER holds the published tables (docs/blueprint.md names them). Printed are
//   1. accuracy on rows that the fit had not seen: five folds by configuration, whole models left
//   out
//   2. coverage of the 80% error bars: each fold's bars come from the other folds' residuals alone
//   3. pairs of layouts of one model, as predicted by held-out fits
//   4. bills of material
//   5. the search: layouts a second on one core, over the spaces of four models
// Nothing is read from the built-in calibration: everything is fitted anew from the tables.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "base/version.h"
#include "lab/blueprint/check_rows.h"
#include "lab/blueprint/search.h"

namespace {

using namespace weir;
using namespace weir::blueprint;

std::string Slurp(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Sum {
  int rows = 0, inside = 0;
  double fitted = 0, held = 0, fresh = 0;
};

// Bars for residual i from all residuals of other folds: every fifth row is a fold here.
double Coverage(const std::vector<double>& logs) {
  if (logs.size() < 10) return NAN;
  int inside = 0;
  for (size_t fold = 0; fold < 5; ++fold) {
    std::vector<double> others;
    for (size_t i = 0; i < logs.size(); ++i)
      if (i % 5 != fold) others.push_back(logs[i]);
    std::sort(others.begin(), others.end());
    const auto at = [&](double q) {
      return others[static_cast<size_t>(std::clamp(q * static_cast<double>(others.size() + 1) - 1,
                                                   0.0, static_cast<double>(others.size() - 1)))];
    };
    const double low = at(0.1), high = at(0.9);
    for (size_t i = fold; i < logs.size(); i += 5) inside += logs[i] >= low && logs[i] <= high;
  }
  return static_cast<double>(inside) / static_cast<double>(logs.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::string folder;
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0)
      json = true;
    else if (std::strcmp(argv[i], "--rows") == 0 && i + 1 < argc)
      folder = argv[++i];
  }
  if (folder.empty()) {
    fmt::print(stderr, "blueprint_bench: --rows FOLDER with the published tables is needed\n");
    return 2;
  }
  std::vector<RowTable> tables;
  for (const char* name :
       {"nccl_allreduce_nvlink_vtrain.csv", "train_calculon_megatron_a100.csv",
        "train_vtrain_a100_single.csv", "train_vtrain_a100_multi.csv", "train_megatron_bridge.csv",
        "infer_silicon.csv", "network_superpod_bom.csv"}) {
    auto t = ReadRows(Slurp(folder + "/" + name), name);
    if (!t) {
      fmt::print(stderr, "blueprint_bench: {}\n", t.error().ToString());
      return 2;
    }
    tables.push_back(*std::move(t));
  }
  const double start = Now();
  const auto calibrated = Calibrate(tables, {});
  if (!calibrated) {
    fmt::print(stderr, "blueprint_bench: {}\n", calibrated.error().ToString());
    return 1;
  }
  const Calibration& c = *calibrated;
  const double fit_s = Now() - start;
  if (!json)
    fmt::print("weir {}, compiler {}; fitted and cross-validated in {:.1f} s\n\n", kVersion,
               __VERSION__, fit_s);

  std::map<std::string, Sum> sums;
  std::map<std::string, std::vector<double>> known, fresh;
  for (const KnownRow& r : c.rows) {
    const std::string form =
        r.table == "serving" ? (r.config.starts_with("prefill") ? " disaggregated" : " aggregated")
                             : "";
    for (const std::string& name : {r.quantity + " | " + r.table + form,
                                    r.quantity + " | " + r.table + form + " | " + r.model}) {
      if (r.table == "vtrain-single" && name.ends_with(r.model)) continue;
      Sum& s = sums[name];
      ++s.rows;
      s.fitted += std::abs(r.fitted / r.measured - 1);
      s.held += std::abs(r.held_out / r.measured - 1);
      s.fresh += std::abs(r.new_model / r.measured - 1);
    }
    const std::string bar = r.quantity + " | " + r.engine;
    known[bar].push_back(std::log(r.measured / r.held_out));
    fresh[bar].push_back(std::log(r.measured / r.new_model));
  }
  if (json)
    fmt::print("{{\"accuracy\":[");
  else
    fmt::print("{:<66} {:>5}  {:>7} {:>9} {:>10}\n",
               "QUANTITY | TABLE | MODEL: mean |predicted/measured - 1|", "ROWS", "FITTED",
               "HELD OUT", "NEW MODEL");
  bool first = true;
  for (const auto& [name, s] : sums) {
    const double n = s.rows;
    if (json)
      fmt::print(
          "{}{{\"name\":\"{}\",\"rows\":{},\"fitted\":{:.4f},\"held_out\":{:.4f},\"new_model\":{:."
          "4f}}}",
          first ? "" : ",", name, s.rows, s.fitted / n, s.held / n, s.fresh / n);
    else
      fmt::print("{:<66} {:>5}  {:>6.1f}% {:>8.1f}% {:>9.1f}%\n", name, s.rows, 100 * s.fitted / n,
                 100 * s.held / n, 100 * s.fresh / n);
    first = false;
  }
  if (json)
    fmt::print("],\"coverage\":[");
  else
    fmt::print("\n{:<40} {:>5}  {:>12} {:>12}\n", "80% ERROR BARS: share inside", "ROWS",
               "KNOWN MODEL", "NEW MODEL");
  first = true;
  for (const auto& [name, logs] : known) {
    if (json)
      fmt::print("{}{{\"name\":\"{}\",\"rows\":{},\"known\":{:.4f},\"new\":{:.4f}}}",
                 first ? "" : ",", name, logs.size(), Coverage(logs), Coverage(fresh[name]));
    else
      fmt::print("{:<40} {:>5}  {:>11.0f}% {:>11.0f}%\n", name, logs.size(), 100 * Coverage(logs),
                 100 * Coverage(fresh[name]));
    first = false;
  }

  // Pairs, by what held-out fits predicted. Rows come in the order of the tables.
  if (json)
    fmt::print("],\"pairs\":[");
  else
    fmt::print("\n{:<40} {:>5}  {:>8} {:>10}\n", "PAIRS OF LAYOUTS: faster one preferred", "PAIRS",
               "HELD OUT", "NEW MODEL");
  std::map<std::string,
           std::pair<std::vector<const Row*>, std::pair<std::vector<double>, std::vector<double>>>>
      by_table;
  size_t at = 0;
  for (const RowTable& t : tables) {
    for (const Row& r : t.rows) {
      if (r.kind != RowKind::kTraining) continue;
      while (at < c.rows.size() && c.rows[at].quantity != "step time") ++at;
      if (at == c.rows.size()) break;
      auto& group = by_table[r.table];
      group.first.push_back(&r);
      group.second.first.push_back(c.rows[at].held_out);
      group.second.second.push_back(c.rows[at].new_model);
      ++at;
    }
  }
  first = true;
  for (const auto& [name, group] : by_table) {
    const PairStats held = ComparePairs(group.first, group.second.first),
                    unseen = ComparePairs(group.first, group.second.second);
    if (json)
      fmt::print("{}{{\"table\":\"{}\",\"pairs\":{},\"held_out\":{:.4f},\"new_model\":{:.4f}}}",
                 first ? "" : ",", name, held.pairs, held.share(), unseen.share());
    else
      fmt::print("{:<40} {:>5}  {:>7.1f}% {:>9.1f}%\n", name, held.pairs, 100 * held.share(),
                 100 * unseen.share());
    first = false;
  }

  const CheckReport network = CheckRows(c, {tables.back()});
  int exact = 0, counts = 0;
  for (const CheckedRow& r : network.rows) {
    ++counts;
    exact += r.measured == r.predicted;
  }
  const CheckReport memory = CheckRows(c, {tables[1]});
  if (json)
    fmt::print(
        "],\"bill_of_material\":{{\"counts\":{},\"exact\":{}}},\"memory_mean_error\":{:.5f},"
        "\"search\":[",
        counts, exact, memory.by_quantity.at("memory").mean_error);
  else
    fmt::print("\nbill of material: {} of {} counts exact; memory: mean error {:.2f}%\n", exact,
               counts, 100 * memory.by_quantity.at("memory").mean_error);

  if (!json)
    fmt::print("\n{:<44} {:>9} {:>9}  {:>24} {:>14}\n", "SEARCH, one core", "LAYOUTS", "FIT",
               "SECONDS (min med max of 7)", "per 100,000");
  first = true;
  for (const auto& [model_name, accelerator_name, count, batch, sequence] :
       {std::tuple{"llama3-70b", "h100", 512, 1024, 8192},
        {"llama3-405b", "h100", 1024, 1536, 8192},
        {"gpt-oss-120b", "b200", 64, 1280, 4096},
        {"deepseek-v3", "gb200", 2304, 4608, 4096}}) {
    const ModelShape shape = FindModel(model_name).value();
    const Accelerator accelerator = FindAccelerator(accelerator_name).value();
    const TrainingModel model(
        shape, accelerator, 1,
        {static_cast<double>(sequence), static_cast<double>(batch), true, false},
        c.knobs.At({"megatron-bridge", accelerator.name, ""}));
    SearchSpace space;
    space.count = count;
    space.precisions = {Precision::kBf16, Precision::kFp8, Precision::kMxfp8, Precision::kNvfp4};
    SearchResult found = SearchLayouts(model, space);  // warm-up
    std::vector<double> seconds;
    for (int i = 0; i < 7; ++i) {
      const double from = Now();
      found = SearchLayouts(model, space);
      seconds.push_back(Now() - from);
    }
    std::sort(seconds.begin(), seconds.end());
    const double per = seconds[3] / static_cast<double>(found.tried) * 1e5;
    const std::string name = fmt::format("{} on {} {}", model_name, count, accelerator_name);
    if (json)
      fmt::print(
          "{}{{\"name\":\"{}\",\"tried\":{},\"fitting\":{},\"median_s\":{:.5f},\"s_per_100000\":{:."
          "5f}}}",
          first ? "" : ",", name, found.tried, found.fitting, seconds[3], per);
    else
      fmt::print("{:<44} {:>9} {:>9}  {:>7.3f} {:>7.3f} {:>7.3f} {:>15.3f} s\n", name, found.tried,
                 found.fitting, seconds[0], seconds[3], seconds[6], per);
    first = false;
  }
  if (json) fmt::print("]}}\n");
  return 0;
}
