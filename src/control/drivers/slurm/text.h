// What Slurm's commands print, as data. The formats are the ones that door.cc asks for: fields with
// a '|' behind each, the one that may hold anything last.
//
// Threads   pure. Errors: kDataLoss with the line that makes no sense; nothing is guessed, since a
//           job that is overlooked would be taken for one that has ended.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace weir::control::slurm {

// A list longer than this is not a cluster's.
inline constexpr size_t kMaxHosts = 100'000;

// ---- jobs ----

inline constexpr const char* kJobFields = "JobID:|,State:|,exit_code:|,NodeList:|,Reason:|,Name:|";

struct Job {
  int64_t id = 0;
  std::string state;  // "RUNNING", "NODE_FAIL": Slurm's base states
  int64_t exit = 0;   // as wait() gives it: code * 256 + signal
  std::string nodes;  // a host list
  std::string reason;
  std::string name;
};
Result<std::vector<Job>> ParseJobs(std::string_view text);

enum class JobStage { kPending, kRunning, kEnding, kEnded };
// A state that is not known is taken for kEnding: it neither runs nor has ended.
JobStage StageOf(std::string_view state);

// "JobID|State|ExitCode|JobName" of sacct -X -P: "17|CANCELLED by 1000|0:15|weir.lab.lease-7".
Result<std::vector<Job>> ParseAccounting(std::string_view text);

// ---- nodes ----

inline constexpr const char* kNodeFields =
    "NodeList:|,NodeAddr:|,StateComplete:|,Partition:|,CPUsState:|,Memory:|,Gres:|,GresUsed:|,"
    "Features_act:|,Reason:|";

struct Gres {
  std::string name;  // "gpu"
  std::string type;  // "h100", or empty
  int64_t count = 0;
  bool operator==(const Gres&) const = default;
};
// "gpu:h100:4(S:0-1),gpu:2(IDX:0,3),nic:1" and "(null)". Entries without a count have one.
Result<std::vector<Gres>> ParseGres(std::string_view text);

struct Node {
  std::string name;
  std::string address;
  std::string state;  // upper case, with its flags: "MIXED+DRAIN", "DOWN*"
  std::string partition;
  bool default_partition = false;
  int64_t cpus = 0;
  int64_t cpus_used = 0;
  int64_t memory_mb = 0;
  std::vector<Gres> gres, gres_used;
  std::string features;
  std::string reason;
};
// One for each node and partition that it is in.
Result<std::vector<Node>> ParseNodes(std::string_view text);

enum class NodeUse { kUp, kDrained, kDown };
NodeUse UseOf(std::string_view state);

// ---- the rest ----

// "a[1-3,07],b" and "rack[1-2]n[01-04]" -> every name, in order.
Result<std::vector<std::string>> ParseHosts(std::string_view text);

struct Reservation {
  std::string name;
  Time start, end;
  std::vector<std::string> nodes;
  bool maintenance = false;  // MAINT, or OVERLAP with it
};
// `scontrol -o show reservation` with SLURM_TIME_FORMAT=%s.
Result<std::vector<Reservation>> ParseReservations(std::string_view text);

// `scontrol -o show topology` -> for each node the switches above it, from the top: "spine/leaf".
// What is not a tree gives nothing.
Result<std::vector<std::pair<std::string, std::string>>> ParseTopology(std::string_view text);

// "Key = value" lines of `scontrol show config`.
std::optional<std::string> ConfigValue(std::string_view text, std::string_view key);
// "7-12:30:00", "90:00", "30", "UNLIMITED" (nullopt), "INFINITE".
std::optional<Duration> ParseTimeLimit(std::string_view text);
// A word "Key=value" of a line that scontrol -o prints.
std::string_view WordOf(std::string_view line, std::string_view key);

}  // namespace weir::control::slurm
