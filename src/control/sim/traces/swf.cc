// The Standard Workload Format of the Parallel Workloads Archive: 18 numbers a line, -1 where not
// known, ';' before comments. Its processors are our slots. Source: Chapin et al., "Benchmarks and
// Standards for the Evaluation of Parallel Job Schedulers", 1999.
#include <fmt/format.h>

#include <charconv>

#include "control/sim/traces/format.h"

namespace weir::sim {
namespace {

constexpr int kFields = 18;

bool Matches(std::string_view first_line) {
  std::vector<std::string_view> cells;
  std::vector<std::string> scratch;
  SplitLine(first_line, ' ', &cells, &scratch);
  if (cells.size() != kFields) return false;
  for (const std::string_view cell : cells) {
    double value = 0;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (error != std::errc() || end != cell.data() + cell.size()) return false;
  }
  return true;
}

Status SwfRow(const Row& row, RowSink* sink) {
  enum {
    kId,
    kSubmit,
    kWait,
    kRun,
    kUsed,
    kCpu,
    kMemory,
    kAsked,
    kLimit,
    kAskedMemory,
    kStatus,
    kUser,
    kGroup,
    kProgram,
    kQueue,
    kPartition
  };
  Job job;
  job.id = row.Text(kId);
  job.submit = TRY(row.Seconds(kSubmit));
  const double run = TRY(row.Number(kRun, -1, kMaxTraceSeconds));
  if (run < 0) {
    sink->Skip("never ran");
    return {};
  }
  job.duration = Duration::FromSeconds(run);
  const int64_t used = TRY(row.Integer(kUsed, -1, kMaxSlotsOfARow));
  const int64_t asked = TRY(row.Integer(kAsked, -1, kMaxSlotsOfARow));
  job.slots = used > 0 ? used : asked;
  if (job.slots <= 0) {
    sink->Skip("says no processors");
    return {};
  }
  const double limit = TRY(row.Number(kLimit, -1, kMaxTraceSeconds));
  if (limit > 0) job.limit = Duration::FromSeconds(limit);
  const int64_t status = TRY(row.Integer(kStatus, -1, 5));
  if (status == 5) job.end = JobEnd::kCancelled;
  if (status == 0) job.end = JobEnd::kFailed;
  const auto named = [&](size_t column, std::string_view prefix) {
    return row.Text(column) == "-1" ? std::string() : fmt::format("{}{}", prefix, row.Text(column));
  };
  job.user = named(kUser, "user-");
  job.team = named(kGroup, "group-");
  job.name = named(kProgram, "program-");
  sink->Add(std::move(job));
  return {};
}

}  // namespace

extern const Format kStandardWorkload;
const Format kStandardWorkload{.name = "swf",
                               .what = "the Standard Workload Format; processors are slots",
                               .delimiter = ' ',
                               .header = false,
                               .comment = ';',
                               .columns = {{"job"},
                                           {"submit"},
                                           {"wait"},
                                           {"run"},
                                           {"used"},
                                           {"cpu", false},
                                           {"memory", false},
                                           {"asked"},
                                           {"limit"},
                                           {"asked_memory", false},
                                           {"status"},
                                           {"user"},
                                           {"group"},
                                           {"program"},
                                           {"queue", false},
                                           {"partition", false},
                                           {"before", false},
                                           {"think", false}},
                               .row = &SwfRow,
                               .matches = &Matches};

}  // namespace weir::sim
