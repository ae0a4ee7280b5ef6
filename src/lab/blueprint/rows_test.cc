#include "lab/blueprint/rows.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/csv.h"
#include "base/random.h"
#include "lab/blueprint/check_rows.h"
#include "lab/blueprint/fit.h"

namespace weir::blueprint {
namespace {

using ::testing::HasSubstr;

TEST(Csv, QuotesEmptyCellsAndLines) {
  const auto t = CsvTable::Parse("a,b,c\r\n1,\"x, \"\"y\"\"\nz\",\r\n\r\n 2 , n/a ,3\n");
  ASSERT_TRUE(t) << t.error().ToString();
  ASSERT_EQ(t->size(), 2u);
  EXPECT_EQ(t->Cell(0, "b"), "x, \"y\"\nz");
  EXPECT_EQ(t->Line(1), 5);
  EXPECT_EQ(t->Number(1, "a").value(), 2);
  EXPECT_EQ(t->Number(1, "b").value(), std::nullopt);
  EXPECT_EQ(t->Cell(0, "nowhere"), "");
  EXPECT_EQ(CsvTable::Parse("a,b\n" + CsvCell("x,\"y\"") + ",1\n")->Cell(0, "a"), "x,\"y\"");
  for (const char* bad : {"", "\n", "a,a\n", "a,b\n1\n", "a\n\"x\n"})
    EXPECT_FALSE(CsvTable::Parse(bad)) << bad;
}

TEST(Rows, AnUnknownTableAndABadNumberAreErrorsAnUnknownNameIsNot) {
  const auto table = ReadRows("x,y\n1,2\n", "t.csv");
  ASSERT_FALSE(table);
  EXPECT_THAT(table.error().hint(), HasSubstr("silicon_tpot_ms"));
  const char* const head =
      "release,phase,model,system,gpus,precision,gbs,mbs,seq,fsdp,tp,pp,cp,vp,ep,ga,tok_s_gpu,"
      "tflop_s_gpu,variant\n";
  const auto rows = ReadRows(std::string(head) +
                                 "26.08,Pre-Training,LLAMA3_8B,DGX-H100,8,FP8,128,1,8192,8,1,1,1,n/"
                                 "a,1,16,14000,725,\n26.08,Pre-Training,Sphinx_900B,DGX-H100,8,FP8,"
                                 "128,1,8192,8,1,1,1,n/a,1,16,14000,725,\n",
                             "t.csv");
  ASSERT_TRUE(rows) << rows.error().ToString();
  EXPECT_EQ(rows->rows.size(), 1u);
  ASSERT_EQ(rows->skipped.size(), 1u);
  EXPECT_EQ(rows->skipped[0].line, 3);
  const auto bad = ReadRows(
      std::string(head) +
          "26.08,Pre-Training,LLAMA3_8B,DGX-H100,8,FP8,128,1,8192,8,1,1,1,n/a,1,16,fast,725,\n",
      "t.csv");
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().ToString(), HasSubstr("line 2: tok_s_gpu is \"fast\""));
  EXPECT_FALSE(ReadRows(
      std::string(head) +
          "26.08,Pre-Training,LLAMA3_8B,DGX-H100,8,FP8,128,1,8192,8,3,1,1,n/a,1,16,100,725,\n",
      "t.csv"));
}

TEST(Fit, CholeskySolvesWhatMultiplicationMade) {
  Random random(3);
  for (int n = 1; n <= 12; ++n) {
    const size_t size = static_cast<size_t>(n);
    std::vector<double> b(size * size), a(size * size, 0), x(size), y(size, 0);
    for (double& v : b) v = random.Normal();
    for (double& v : x) v = random.Normal();
    for (size_t i = 0; i < size; ++i)
      for (size_t j = 0; j < size; ++j) {
        for (size_t k = 0; k < size; ++k) a[i * size + j] += b[i * size + k] * b[j * size + k];
        a[i * size + j] += i == j ? 0.5 : 0;
      }
    for (size_t i = 0; i < size; ++i)
      for (size_t j = 0; j < size; ++j) y[i] += a[i * size + j] * x[j];
    ASSERT_TRUE(SolveCholesky(a, y));
    for (size_t i = 0; i < size; ++i) EXPECT_NEAR(y[i], x[i], 1e-6);
  }
  std::vector<double> not_definite = {1, 2, 2, 1}, b = {1, 1};
  EXPECT_FALSE(SolveCholesky(not_definite, b));
}

TEST(Fit, FindsTheKnobsThatMadeTheRows) {
  // Rows from known knobs and 2% noise: the fit comes back to them, offsets to the keys that had
  // them.
  KnobTree truth;
  truth.log_base[kReduceLink] += 0.08;
  truth.log_base[kReduceLatency] -= 0.4;
  truth.offsets["accelerator:v100-sxm"][kReduceRamp] = 0.9;
  Random random(11);
  std::vector<Row> rows;
  for (const char* name : {"a100-sxm", "v100-sxm"}) {
    for (int ranks = 2; ranks <= 8; ++ranks) {
      for (double bytes = 1e4; bytes < 1e9; bytes *= 3) {
        Row r;
        r.kind = RowKind::kAllReduce;
        r.accelerator = FindAccelerator(name).value();
        r.keys = {"", name, ""};
        r.ranks = ranks;
        r.bytes = bytes;
        r.config = fmt::format("{} {}", ranks, bytes);
        r.measured = {
            {"all-reduce", PredictRow(r, truth.At(r.keys))[0] * std::exp(0.02 * random.Normal())}};
        rows.push_back(r);
      }
    }
  }
  const auto fitted = Calibrate({{"all-reduce", rows, {}}}, {});
  ASSERT_TRUE(fitted) << fitted.error().ToString();
  EXPECT_NEAR(fitted->knobs.log_base[kReduceLink], truth.log_base[kReduceLink], 0.05);
  double worst = 0;
  for (const Row& r : rows)
    worst = std::max(worst, std::abs(PredictRow(r, fitted->knobs.At(r.keys))[0] /
                                         PredictRow(r, truth.At(r.keys))[0] -
                                     1));
  EXPECT_LT(worst, 0.05);
  // The noise is 2%: the 80% band is 1.28 times that on either side.
  const Band& band = fitted->bands.at("all-reduce||known");
  EXPECT_NEAR(band.high, 0.0256, 0.01);
  EXPECT_NEAR(band.low, -0.0256, 0.01);
  // The text holds all of it.
  const auto again = FromText(ToToml(*fitted), RowsToCsv(*fitted));
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_EQ(again->rows.size(), fitted->rows.size());
  for (const Row& r : rows)
    EXPECT_NEAR(
        PredictRow(r, again->knobs.At(r.keys))[0] / PredictRow(r, fitted->knobs.At(r.keys))[0], 1,
        1e-3);
}

TEST(Fit, AKeyWithFewRowsStaysNearItsFamily) {
  Row r;
  r.kind = RowKind::kAllReduce;
  r.accelerator = FindAccelerator("a100").value();
  r.ranks = 8;
  r.bytes = 1e9;
  std::vector<Row> rows;
  const double base = PredictRow(r, KnobTree().At({}))[0];
  for (int i = 0; i < 40; ++i) {
    r.keys = {"", "a100-sxm", ""};
    r.bytes = 1e8 * (i + 1);
    r.config = std::to_string(i);
    r.measured = {{"all-reduce", PredictRow(r, KnobTree().At({}))[0]}};
    rows.push_back(r);
  }
  r.bytes = 1e9;
  r.keys = {"", "odd", ""};
  r.config = "odd";
  r.measured = {{"all-reduce", 2 * base}};  // one row, twice as slow
  rows.push_back(r);
  const auto c = Calibrate({{"all-reduce", rows, {}}}, {5, false});
  const double odd = PredictRow(r, c->knobs.At({"", "odd", ""}))[0] / base;
  EXPECT_GT(odd, 1.05);
  EXPECT_LT(odd, 1.9);
  r.keys = {};
  EXPECT_NEAR(PredictRow(r, c->knobs.At({"", "never-seen", ""}))[0] / base, 1, 0.1);
}

TEST(Estimate, UnknownModelsAndFarPlacesGetWiderBars) {
  const Calibration& c = BuiltinCalibration();
  Row q;
  q.kind = RowKind::kTraining;
  q.shape = FindModel("llama3-70b").value();
  q.model = q.shape.name;
  q.accelerator = FindAccelerator("h100").value();
  q.keys = {"megatron-bridge", q.accelerator.name, ""};
  q.train_work = {8192, 256, true, false};
  q.accelerators = 64;
  q.layout.precision = Precision::kFp8;
  const Estimate known = WithError(c, q, "step time", 10);
  EXPECT_TRUE(known.known_model);
  EXPECT_FALSE(known.extrapolates) << known.why;
  EXPECT_THAT(known.nearest, HasSubstr("LLAMA3_70B"));
  q.shape = FindModel("deepseek-v3").value();
  q.model = q.shape.name;
  const Estimate fresh = WithError(c, q, "step time", 10);
  EXPECT_FALSE(fresh.known_model);
  EXPECT_GT(fresh.high - fresh.low, known.high - known.low);
  q.accelerators = 200000;
  const Estimate far = WithError(c, q, "step time", 10);
  EXPECT_TRUE(far.extrapolates);
  EXPECT_THAT(far.why, HasSubstr("accelerators"));
  EXPECT_GT(far.high - far.low, fresh.high - fresh.low);
}

// The published tables, where they are at hand: the built-in calibration reaches what its own
// residuals say, and the network is exact.
TEST(Builtin, HoldsOnThePublishedTables) {
  const char* shared = std::getenv("WEIR_SHARED");
  const auto read = [&](const char* name) -> std::string {
    if (shared == nullptr) return "";
    std::ifstream file(std::string(shared) + "/planning/" + name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  };
  if (read("network_superpod_bom.csv").empty())
    GTEST_SKIP() << "WEIR_SHARED has no planning tables";
  const struct {
    const char *file, *quantity;
    double mean_error;
  } tables[] = {{"network_superpod_bom.csv", "spine switches", 0},
                {"network_superpod_bom.csv", "leaf switches", 0},
                {"network_superpod_bom.csv", "core cables", 0},
                {"nccl_allreduce_nvlink_vtrain.csv", "all-reduce", 0.10},
                {"train_calculon_megatron_a100.csv", "step time", 0.04},
                {"train_calculon_megatron_a100.csv", "memory", 0.03},
                {"train_vtrain_a100_single.csv", "step time", 0.08},
                {"train_vtrain_a100_multi.csv", "step time", 0.10},
                {"train_megatron_bridge.csv", "step time", 0.12}};
  for (const auto& t : tables) {
    const auto rows = ReadRows(read(t.file), t.file);
    ASSERT_TRUE(rows) << rows.error().ToString();
    const CheckReport r = CheckRows(BuiltinCalibration(), {*rows});
    EXPECT_LE(r.by_quantity.at(t.quantity).mean_error, t.mean_error) << t.file << " " << t.quantity;
  }
}

}  // namespace
}  // namespace weir::blueprint
