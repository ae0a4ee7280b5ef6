// SenseTime Helios (SC'21, doi 10.1145/3458817.3476223): cluster "Venus", as one list of jobs, and
// two virtual clusters of September 2020 with users and states.
#include "control/sim/traces/format.h"

namespace weir::sim {
namespace {

// job_id, submit_s, duration_s, gpus. Durations of 48 h are clamped in the file: the true ones were
// as long or longer, and nothing here can tell.
Status VenusRow(const Row& row, RowSink* sink) {
  enum { kId, kSubmit, kDuration, kGpus, kClamped };
  Job job;
  job.id = row.Text(kId);
  job.submit = TRY(row.Seconds(kSubmit));
  job.duration = TRY(row.Seconds(kDuration));
  job.slots = TRY(row.Integer(kGpus, 0, kMaxSlotsOfARow));
  if (job.slots == 0) {
    sink->Skip("asks for no accelerator");
    return {};
  }
  sink->Add(std::move(job));
  return {};
}

Status ClustersRow(const Row& row, RowSink* sink) {
  enum { kId, kUser, kVc, kSubmit, kGpus, kDuration, kStatus };
  Job job;
  job.id = row.Text(kId);
  job.user = row.Text(kUser);
  job.team = row.Text(kVc);
  job.submit = TRY(row.Seconds(kSubmit));
  job.duration = TRY(row.Seconds(kDuration));
  job.slots = TRY(row.Integer(kGpus, 0, kMaxSlotsOfARow));
  if (job.slots == 0) {
    sink->Skip("asks for no accelerator");
    return {};
  }
  const std::string_view status = row.Text(kStatus);
  if (status == "CANCELED" || status == "CANCELLED") {
    job.end = JobEnd::kCancelled;
  } else if (status == "FAILED" || status == "TIMEOUT") {
    job.end = JobEnd::kFailed;
  } else if (status != "COMPLETED" && status != "NODE_FAIL") {
    return row.Bad(kStatus, "COMPLETED, CANCELLED, FAILED, TIMEOUT or NODE_FAIL");
  }
  sink->Add(std::move(job));
  return {};
}

}  // namespace

extern const Format kHeliosJobs, kHeliosClusters;
const Format kHeliosJobs{
    .name = "helios",
    .what = "SenseTime Helios, a list of GPU jobs",
    .columns = {{"job_id"}, {"submit_s"}, {"duration_s"}, {"gpus"}, {"clamped_48h", false}},
    .row = &VenusRow};
const Format kHeliosClusters{
    .name = "helios_clusters",
    .what = "SenseTime Helios, jobs of virtual clusters with users and states",
    .columns = {{"job_id"},
                {"user"},
                {"vc"},
                {"submit_s_since_2020_09_01"},
                {"gpus"},
                {"duration_s"},
                {"status"}},
    .row = &ClustersRow};

}  // namespace weir::sim
