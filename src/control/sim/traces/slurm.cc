// Slurm's accounting, as `sacct --parsable2` prints it:
//   sacct -a -X -n0 --parsable2 -o JobIDRaw,JobName,User,Account,Partition,Submit,Start,End,
//         ElapsedRaw,Timelimit,State,AllocTRES,ReqTRES
// Accelerators are what AllocTRES (else ReqTRES) says under gres/gpu, or gres/gpu:TYPE. Steps of a
// job ("12.batch") are no jobs. A job that never started has no End worth replaying.
#include <fmt/format.h>

#include <charconv>

#include "control/sim/traces/format.h"

namespace weir::sim {
namespace {

// "1-02:03:04", "02:03:04", "03:04", "30" (minutes); UNLIMITED and the like: none.
std::optional<Duration> Timelimit(std::string_view text) {
  int64_t days = 0;
  if (const size_t dash = text.find('-'); dash != std::string_view::npos) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + dash, days);
    if (error != std::errc() || end != text.data() + dash || days < 0 || days > 36'500)
      return std::nullopt;
    text.remove_prefix(dash + 1);
  }
  int64_t part[3] = {}, parts = 0;
  for (size_t at = 0; at <= text.size() && parts < 3; ++parts) {
    const size_t stop = std::min(text.find(':', at), text.size());
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + stop, part[parts]);
    if (error != std::errc() || end != text.data() + stop || part[parts] < 0 ||
        part[parts] > 100'000'000)
      return std::nullopt;
    at = stop + 1;
    if (stop == text.size()) {
      ++parts;
      break;
    }
  }
  const int64_t seconds = parts == 3   ? part[0] * 3600 + part[1] * 60 + part[2]
                          : parts == 2 ? part[0] * 60 + part[1]
                                       : part[0] * 60;
  return Duration::Seconds(days * 86'400 + seconds);
}

struct Accelerators {
  int64_t count = 0;
  std::string type;
};

// "billing=8,cpu=64,gres/gpu:a100=8,gres/gpu=8,mem=1T"
Accelerators FromTres(std::string_view text) {
  Accelerators out;
  int64_t typed = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t stop = std::min(text.find(',', at), text.size());
    const std::string_view item = text.substr(at, stop - at);
    at = stop + 1;
    const size_t equals = item.find('=');
    if (!item.starts_with("gres/gpu") || equals == std::string_view::npos) continue;
    int64_t count = 0;
    std::from_chars(item.data() + equals + 1, item.data() + item.size(), count);
    if (count < 0 || count > kMaxSlotsOfARow) continue;
    if (item[8] == ':') {
      typed += count;
      out.type = item.substr(9, equals - 9);
    } else if (equals == 8) {
      out.count = count;
    }
  }
  if (out.count == 0) out.count = typed;
  return out;
}

Status SacctRow(const Row& row, RowSink* sink) {
  enum {
    kRaw,
    kId,
    kName,
    kUser,
    kAccount,
    kPartition,
    kSubmit,
    kStart,
    kEnd,
    kElapsed,
    kLimit,
    kState,
    kAlloc,
    kReq
  };
  const std::string_view id = row.Has(kRaw) ? row.Text(kRaw) : row.Text(kId);
  if (id.empty()) return row.Bad(kId, "a job's number");
  if (id.find('.') != std::string_view::npos) {
    sink->Skip("is a step, not a job");
    return {};
  }
  Accelerators want = FromTres(row.Text(kAlloc));
  if (want.count == 0) want = FromTres(row.Text(kReq));
  if (want.count == 0) {
    sink->Skip("asks for no accelerator");
    return {};
  }
  Job job;
  job.id = id;
  const std::optional<int64_t> submit = ParseCivil(row.Text(kSubmit));
  if (!submit || *submit < 0) return row.Bad(kSubmit, "a time such as 2026-01-31T12:00:00");
  job.submit = Duration::Seconds(*submit);
  const std::optional<int64_t> start = ParseCivil(row.Text(kStart));
  if (!start) {
    sink->Skip("never started");
    return {};
  }
  if (row.Has(kElapsed)) {
    job.duration = TRY(row.Seconds(kElapsed));
  } else {
    const std::optional<int64_t> end = ParseCivil(row.Text(kEnd));
    if (!end) {
      sink->Skip("has not ended");
      return {};
    }
    if (*end < *start) return row.Bad(kEnd, "at or after Start");
    job.duration = Duration::Seconds(*end - *start);
  }
  job.slots = want.count;
  job.type = want.type;
  job.name = row.Text(kName);
  job.user = row.Text(kUser);
  job.team = row.Has(kAccount) ? row.Text(kAccount) : row.Text(kPartition);
  if (const auto limit = Timelimit(row.Text(kLimit))) job.limit = *limit;
  const std::string_view state = row.Text(kState);
  if (state.starts_with("CANCELLED")) {
    job.end = JobEnd::kCancelled;
  } else if (state.starts_with("RUNNING") || state.starts_with("PENDING")) {
    sink->Skip("has not ended");
    return {};
  } else if (state != "COMPLETED" && state != "PREEMPTED" && state != "REQUEUED") {
    job.end = JobEnd::kFailed;
  }
  sink->Add(std::move(job));
  return {};
}

}  // namespace

extern const Format kSlurmSacct;
const Format kSlurmSacct{.name = "slurm_sacct",
                         .what = "Slurm, `sacct --parsable2` with its heading",
                         .delimiter = '|',
                         .columns = {{"JobIDRaw", false},
                                     {"JobID", false},
                                     {"JobName", false},
                                     {"User", false},
                                     {"Account", false},
                                     {"Partition", false},
                                     {"Submit"},
                                     {"Start"},
                                     {"End", false},
                                     {"ElapsedRaw", false},
                                     {"Timelimit", false},
                                     {"State"},
                                     {"AllocTRES", false},
                                     {"ReqTRES", false}},
                         .row = &SacctRow};

}  // namespace weir::sim
