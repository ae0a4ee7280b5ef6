// `weir doctor`: looks at this machine and says what is missing for what, and what to do about it.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "app/client.h"
#include "app/commands.h"
#include "app/setup.h"
#include "app/show.h"
#include "base/version.h"
#include "engine/kernels/kernels.h"
#include "io/cores.h"
#include "io/files.h"
#include "io/secret.h"
#include "wire/schema.h"
#include "wire/site.h"

namespace weir::app {

namespace {

// Asks the lab, which looks at the site; fails when something is missing that it cannot do without.
Status DoctorSite(const ClientFlags& flags, const std::string& site) {
  const Client client = TRY(Client::Open(flags));
  const std::string answer = TRY(client.Get("/api/v1/sites/" + Segment(site) + "/check"));
  if (flags.json) std::fputs(answer.c_str(), stdout);
  const wire::Json json = TRY(wire::ParseJson(answer));
  const auto checks = TRY(wire::FromJson<std::vector<wire::SiteCheck>>(
      json.value("items", wire::Json::array()), "items"));
  if (!flags.json) std::fputs(ShowChecks(checks).c_str(), stdout);
  for (const wire::SiteCheck& check : checks) {
    if (!check.ok && check.fatal)
      return Error(Code::kFailedPrecondition, fmt::format("site {} is not usable as it is", site))
          .Hint(check.hint);
  }
  return {};
}

enum class Grade { kGood, kNote, kBad };

struct Finding {
  Grade grade;
  std::string what;
  std::string found;
  std::string advice;  // empty when all is well
};

constexpr int64_t kMinFreeBytes = int64_t{1} << 30;
constexpr int64_t kMinMemoryBytes = int64_t{1} << 30;
constexpr rlim_t kMinFiles = 4096;

std::vector<Finding> Examine(const Setup& setup) {
  std::vector<Finding> out;
  const auto cores = io::UsableCores();
  out.push_back(
      {Grade::kGood, "cores",
       fmt::format("{} usable, {:.1f} cores' worth of time", cores.size(), io::CoreLimit()), ""});
  out.push_back({kernels::BestIsa() == kernels::Isa::kPlain ? Grade::kNote : Grade::kGood,
                 "arithmetic", kernels::DescribeKernels(),
                 kernels::BestIsa() == kernels::Isa::kPlain
                     ? "without AVX2 training and serving are several times slower"
                     : ""});
  const int64_t memory = io::MemoryLimitBytes();
  out.push_back({memory < kMinMemoryBytes ? Grade::kBad : Grade::kGood, "memory",
                 HumanBytes(memory),
                 memory < kMinMemoryBytes ? "the first story needs about 1 GiB" : ""});
  const int slots = LocalSlots(setup.config);
  if (const auto shares = io::SlotShares::Detect(slots)) {
    const bool exact = shares->mechanism() == io::SlotShares::Mechanism::kCgroupV2;
    out.push_back({exact ? Grade::kGood : Grade::kNote, "slots",
                   fmt::format("{} slots, kept apart by {}", slots,
                               exact ? "cgroup v2" : "affinity and nice"),
                   exact ? "" : shares->why()});
  } else {
    out.push_back({Grade::kBad, "slots", shares.error().message(), shares.error().hint()});
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  out.push_back({files.rlim_max < kMinFiles ? Grade::kNote : Grade::kGood, "open files",
                 fmt::format("up to {}", HumanCount(static_cast<double>(files.rlim_max))),
                 files.rlim_max < kMinFiles
                     ? "`ulimit -n` limits how many clients can be connected at once"
                     : ""});

  const bool there = io::FileExists(setup.data);
  const std::string looked_at =
      there ? setup.data : setup.data.substr(0, std::max<size_t>(setup.data.rfind('/'), 1));
  const Result<int64_t> free = io::FreeBytes(looked_at);
  if (free) {
    out.push_back(
        {*free < kMinFreeBytes ? Grade::kBad : Grade::kGood, "disk",
         fmt::format("{} free at {}", HumanBytes(*free), setup.data),
         *free < kMinFreeBytes ? "free space, or choose another folder with --data" : ""});
  } else if (there) {
    out.push_back({Grade::kBad, "disk", free.error().message(), free.error().hint()});
  } else {
    out.push_back({Grade::kGood, "disk", fmt::format("{} will be made", setup.data), ""});
  }
  if (there) {
    const Result<bool> locked = io::FileLock::IsLocked(setup.data + "/lock");
    out.push_back({Grade::kGood, "data folder",
                   locked && *locked ? "held by a running `weir up`" : "not in use", ""});
    if (io::FileExists(setup.data + "/admin.key")) {
      const Result<std::string> key = io::ReadSecretFile(setup.data + "/admin.key");
      out.push_back({key ? Grade::kGood : Grade::kBad, "admin key",
                     key ? "readable by you alone" : key.error().message(),
                     key ? "" : key.error().hint()});
    }
  }
  out.push_back(
      {Grade::kGood, "configuration",
       setup.config_file.empty() ? "no file: defaults and environment" : setup.config_file, ""});
  return out;
}

}  // namespace

void AddDoctorCommand(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand("doctor", "Check this machine and say what is missing");
  auto flags = AddUpFlags(*command);
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print as JSON");
  auto site = std::make_shared<std::string>();
  command->add_option("--site", *site, "Look at this site of the running lab instead");
  command->footer("Examples:\n  weir doctor --data /srv/weir\n  weir doctor --site north");
  command->callback([flags, json, site, &exit_status] {
    if (!site->empty()) {
      ClientFlags client;
      client.json = *json;
      client.data = flags->data;
      exit_status = Report(DoctorSite(client, *site));
      return;
    }
    const Result<Setup> setup = LoadSetup(*flags);
    if (!setup) {
      exit_status = Complain("doctor", setup.error());
      return;
    }
    constexpr const char* kMarks[] = {"ok  ", "note", "BAD "};
    constexpr const char* kNames[] = {"good", "note", "bad"};
    bool bad = false;
    wire::Json out = wire::Json::array();
    for (const Finding& f : Examine(*setup)) {
      bad = bad || f.grade == Grade::kBad;
      if (*json) {
        out.push_back({{"grade", kNames[static_cast<int>(f.grade)]},
                       {"what", f.what},
                       {"found", f.found},
                       {"advice", f.advice}});
      } else {
        fmt::print("{}  {:<14} {}\n", kMarks[static_cast<int>(f.grade)], f.what, f.found);
        if (!f.advice.empty()) fmt::print("      {:<14} {}\n", "", f.advice);
      }
    }
    if (*json) fmt::print("{}\n", out.dump(2));
    exit_status = bad ? 6 : 0;
  });
}

}  // namespace weir::app
