// Our own two: jobs and demand as plain CSV, documented in docs/formats.md.
#include "control/sim/traces/format.h"

namespace weir::sim {
namespace {

Result<Ability> AbilityOf(const Row& row, size_t column) {
  const std::string_view text = row.Text(column);
  if (text.empty()) return Ability::kUnknown;
  if (text == "true" || text == "1" || text == "yes") return Ability::kYes;
  if (text == "false" || text == "0" || text == "no") return Ability::kNo;
  return row.Bad(column, "true or false");
}

Status JobRow(const Row& row, RowSink* sink) {
  enum {
    kId,
    kSubmit,
    kDuration,
    kSlots,
    kMin,
    kMax,
    kTeam,
    kUser,
    kName,
    kType,
    kLimit,
    kState,
    kCan,
    kInterval,
    kPriority
  };
  Job job;
  job.submit = TRY(row.Seconds(kSubmit));
  job.duration = TRY(row.Seconds(kDuration));
  job.slots = TRY(row.Integer(kSlots, 0, kMaxSlotsOfARow));
  if (job.slots == 0) {
    sink->Skip("asks for no accelerator");
    return {};
  }
  if (row.Has(kMin)) job.min_slots = TRY(row.Integer(kMin, 1, job.slots));
  if (row.Has(kMax)) job.max_slots = TRY(row.Integer(kMax, job.slots, kMaxSlotsOfARow));
  if (row.Has(kLimit)) job.limit = TRY(row.Seconds(kLimit));
  if (row.Has(kInterval)) job.checkpoint_interval = TRY(row.Seconds(kInterval));
  if (row.Has(kPriority)) job.priority = TRY(row.Integer(kPriority, -1'000'000, 1'000'000));
  job.checkpointable = TRY(AbilityOf(row, kCan));
  if (const std::string_view state = row.Text(kState); state == "failed") {
    job.end = JobEnd::kFailed;
  } else if (state == "cancelled") {
    job.end = JobEnd::kCancelled;
  } else if (!state.empty() && state != "done") {
    return row.Bad(kState, "done, failed or cancelled");
  }
  job.id = row.Text(kId);
  job.team = row.Text(kTeam);
  job.user = row.Text(kUser);
  job.name = row.Text(kName);
  job.type = row.Text(kType);
  sink->Add(std::move(job));
  return {};
}

Status DemandRow(const Row& row, RowSink* sink) {
  enum { kAt, kService, kRate, kIn, kOut };
  Demand demand;
  demand.at = TRY(row.Seconds(kAt));
  demand.service = row.Text(kService);
  demand.requests_per_s = TRY(row.Number(kRate, 0, 1e9));
  if (row.Has(kIn)) demand.tokens_in = TRY(row.Number(kIn, 0, 1e9));
  if (row.Has(kOut)) demand.tokens_out = TRY(row.Number(kOut, 0, 1e9));
  sink->BeginSeries(demand.service);
  sink->Add(std::move(demand));
  return {};
}

}  // namespace

extern const Format kWeirJobs, kWeirDemand;
const Format kWeirJobs{.name = "weir_jobs",
                       .what = "our own, for jobs",
                       .columns = {{"job"},
                                   {"submit_s"},
                                   {"duration_s"},
                                   {"slots"},
                                   {"min_slots", false},
                                   {"max_slots", false},
                                   {"team", false},
                                   {"user", false},
                                   {"name", false},
                                   {"type", false},
                                   {"limit_s", false},
                                   {"state", false},
                                   {"checkpointable", false},
                                   {"checkpoint_s", false},
                                   {"priority", false}},
                       .row = &JobRow};
const Format kWeirDemand{.name = "weir_demand",
                         .what = "our own, for demand",
                         .columns = {{"t_s"},
                                     {"service"},
                                     {"requests_per_s"},
                                     {"tokens_in", false},
                                     {"tokens_out", false}},
                         .row = &DemandRow};

}  // namespace weir::sim
