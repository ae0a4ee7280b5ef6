// Traces: what happened in other labs, as rows that the simulator replays.
//
// Four kinds of row, whatever the file: a job of research, a demand of product, nodes of a fleet,
// and how many spot instances could be had. Times count from the trace's own zero.
//
//   Trace trace;
//   TRY(ReadTrace("jobs.csv.gz", {}, &trace));     // the format is told by the first line
//
// A malformed row is left out, counted, and the first ones are named with their line and reason;
// with `strict` the first one is the error. So are times that run backwards, except that those rows
// are kept and sorted. Rows that ask for no accelerator are no fault: they are counted as skipped.
//
// Formats   one file and one line of formats.cc each: see docs/guides/add-a-trace-format.md.
// Memory    one row at a time is in flight; the rows read are kept (about 200 bytes a job).
// Threads   values; reading is one thread's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "io/line_reader.h"

namespace weir::sim {

inline constexpr int64_t kMaxTraceRows = 20'000'000;
inline constexpr int64_t kMaxSlotsOfARow = 1'000'000;
inline constexpr double kMaxTraceSeconds = 100.0 * 365 * 86'400;

// How the job ended where the trace was taken. It ends the same way in the simulation, after the
// same time of work: a job that its owner cancelled after an hour is an hour of work.
enum class JobEnd { kDone, kFailed, kCancelled };

// Whether a job can save and whether it can run at another size; kUnknown is settled by the fleet's
// [assume] rules, which are the same for every policy.
enum class Ability { kUnknown, kNo, kYes };

struct Job {
  std::string id;
  Duration submit;
  Duration duration;  // of its work, at `slots` slots on a node of speed 1
  int64_t slots = 1;
  int64_t min_slots = 0;  // 0: not said
  int64_t max_slots = 0;
  std::string team;  // team, virtual cluster, account or queue
  std::string user;
  std::string name;
  std::string type;  // accelerator; empty = any
  Duration limit;    // requested; 0 = none
  int64_t priority = 0;
  JobEnd end = JobEnd::kDone;
  Ability checkpointable = Ability::kUnknown;
  Duration checkpoint_interval;  // 0: not said
};

// What a service is asked from `at` until its next row.
struct Demand {
  Duration at;
  std::string service;
  double requests_per_s = 0;
  double tokens_in = 0;  // per request
  double tokens_out = 0;
};

struct NodeRow {
  std::string name;
  std::string type;
  int64_t slots = 0;
  std::string leaf;   // switch of its rack; empty = not said
  std::string spine;  // group of racks
};

struct SpotRun {
  std::string zone;
  Duration at;
  Duration length;
  int64_t available = 0;  // instances that could be had
};

struct BadRow {
  int64_t line = 0;
  std::string reason;
};

struct ReadReport {
  std::string file;
  std::string format;
  int64_t rows = 0;  // taken
  int64_t bad = 0;
  std::vector<BadRow> first_bad;           // at most kBadRowsNamed
  std::map<std::string, int64_t> skipped;  // by reason
  int64_t backwards = 0;                   // rows earlier than the one before them
  int64_t first_backwards_line = 0;
  // The sentences for people; empty when there is nothing to say.
  std::vector<std::string> Notes() const;
};
inline constexpr size_t kBadRowsNamed = 5;

struct Trace {
  std::vector<Job> jobs;        // by submit, then as in the file
  std::vector<Demand> demands;  // by service, then time; one row for each
  std::vector<NodeRow> nodes;   // as in the file
  std::vector<SpotRun> spot;    // by zone, then time
  std::vector<ReadReport> reports;
};

struct ReadOptions {
  bool strict = false;
  std::string format;  // by name; empty: told by the first line
  std::string
      service;  // name of the service where the file names none; empty: from the file's name
};

// Adds the file's rows to `trace`. kInvalidArgument: no known format, or one that the file is not
// in; with strict also the first bad row. kFailedPrecondition: not one good row. Errors of reading
// as io::LineReader says them.
Status ReadTrace(const std::string& path, const ReadOptions& options, Trace* trace);
// The same of a reader that is at its first line.
Status ReadTrace(io::LineReader reader, const ReadOptions& options, Trace* trace);

}  // namespace weir::sim
