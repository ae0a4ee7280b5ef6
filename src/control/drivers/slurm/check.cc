#include "control/drivers/slurm/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/nearest.h"
#include "control/drivers/slurm/slots.h"
#include "io/secret.h"

namespace weir::control::slurm {
namespace {

std::string Trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

class Checker {
 public:
  Checker(const wire::SiteSpec& site, Door& door, const std::string& data_dir,
          const std::string& weir_binary, Time now)
      : site_(site), door_(door), data_dir_(data_dir), weir_binary_(weir_binary), now_(now) {}

  std::vector<wire::SiteCheck> Run() {
    const wire::SlurmSite& slurm = site_.slurm;
    Result<Facts> facts = door_.Ask();
    if (!facts) {
      Bad("controller", facts.error());
      return std::move(all_);
    }
    Good("controller", fmt::format("Slurm {} answers, cluster {}", facts->version,
                                   facts->cluster.empty() ? "not said" : facts->cluster));
    if (facts->version.rfind(kTestedVersions, 0) != 0)
      Note("version", false,
           fmt::format("Slurm {}; Weir was run against {}", facts->version, kTestedVersions),
           "run tests/slurm's story there before you rely on it");
    if (!facts->cluster.empty() && facts->cluster != slurm.cluster) {
      Bad("cluster",
          fmt::format("the controller is that of cluster \"{}\", not of \"{}\"", facts->cluster,
                      slurm.cluster),
          fmt::format("if that is the one you mean: --cluster {}", facts->cluster));
      return std::move(all_);
    }
    const std::string wanted = slurm.partition.empty() ? facts->default_partition : slurm.partition;
    if (wanted.empty() || std::find(facts->partitions.begin(), facts->partitions.end(), wanted) ==
                              facts->partitions.end()) {
      const std::string near = NearestOf(wanted, facts->partitions);
      Bad("partition",
          wanted.empty() ? std::string("the cluster has no default partition")
                         : fmt::format("cluster {} has no partition \"{}\"", slurm.cluster, wanted),
          near.empty() ? fmt::format("it has {}: give one with --partition",
                                     fmt::join(facts->partitions, ", "))
                       : fmt::format("did you mean --partition {}?", near));
      return std::move(all_);
    }
    Good("partition", wanted);
    Result<Look> look = door_.LookAround();
    if (!look) {
      Bad("nodes", look.error());
      return std::move(all_);
    }
    if (!Nodes(*facts, *look)) return std::move(all_);
    const Duration skew = {std::abs((now_ - look->clock).us)};
    Note("clock", skew < kClockMayDiffer,
         fmt::format("{} from this machine's", skew.us < 1'000'000 ? "less than 1 s" : Human(skew)),
         "times of reservations are corrected for it; logs of both will not match");
    Note("accounting", facts->accounting,
         facts->accounting ? "on"
         : slurm.via == wire::SlurmVia::kRest
             ? std::string("not asked through slurmrestd")
             : fmt::format("off: a job that Weir did not look at for {} is judged by "
                           "the files that its ranks wrote",
                           Human(facts->forgets_after)),
         slurm.via == wire::SlurmVia::kRest
             ? "reach the site by its command line where that matters: --via ssh"
             : "AccountingStorageType=accounting_storage/slurmdbd, if the site wants to keep it");
    TestSubmission(*look);
    DataFolder();
    Program();
    Rights();
    return std::move(all_);
  }

 private:
  void Add(wire::SiteCheck check) { all_.push_back(std::move(check)); }
  void Good(const char* what, std::string said) { Add({what, true, true, std::move(said), ""}); }
  void Bad(const char* what, std::string said, std::string hint) {
    Add({what, false, true, std::move(said), std::move(hint)});
  }
  void Bad(const char* what, const Error& error) { Bad(what, error.message(), error.hint()); }
  void Note(const char* what, bool ok, std::string said, std::string hint) {
    Add({what, ok, false, std::move(said), ok ? "" : std::move(hint)});
  }

  bool Nodes(const Facts& facts, const Look& look) {
    std::map<std::string, int64_t> theirs;
    const auto slots = SlotsOf(site_, facts, look, {}, now_, theirs);
    if (slots.empty()) {
      std::set<std::string> there;
      for (const Node& node : look.nodes) {
        for (const Gres& gres : node.gres)
          there.insert(gres.type.empty() ? gres.name : gres.name + ":" + gres.type);
      }
      const std::string& gres = site_.slurm.gres;
      if (!site_.slurm.reservation.empty())
        Bad("accelerators",
            fmt::format("no node of the partition is in reservation {}", site_.slurm.reservation),
            "see `scontrol show reservation` at the site");
      else if (there.empty())
        Bad("accelerators",
            fmt::format("no node of the partition has a generic resource \"{}\"", gres),
            "for CPUs: --gres none --cpus-per-slot N");
      else
        Bad("accelerators",
            fmt::format("no node of the partition has a generic resource \"{}\"", gres),
            fmt::format("they have {}", fmt::join(there, ", ")));
      return false;
    }
    std::map<std::string, std::pair<int64_t, int64_t>> types;  // up, all
    for (const wire::Slot& slot : slots) {
      auto& [up, count] = types[slot.type.empty() ? "slots" : slot.type];
      up += slot.health == wire::SlotHealth::kUp ? 1 : 0;
      ++count;
    }
    std::string said;
    for (const auto& [type, counts] : types)
      said += fmt::format("{}{} {} ({} free to the lab)", said.empty() ? "" : ", ", counts.second,
                          type, counts.first);
    Good("accelerators", said);
    return true;
  }

  void TestSubmission(const Look& look) {
    const wire::SlurmSite& slurm = site_.slurm;
    std::string script = "sbatch --test-only -n 1 -N 1 -t 1";
    if (!slurm.partition.empty()) script += " -p " + Quoted(slurm.partition);
    if (!slurm.account.empty()) script += " -A " + Quoted(slurm.account);
    if (!slurm.qos.empty()) script += " -q " + Quoted(slurm.qos);
    if (!slurm.reservation.empty()) script += " --reservation=" + Quoted(slurm.reservation);
    if (!slurm.gres.empty()) script += " --gres=" + Quoted(slurm.gres + ":1");
    Result<io::CommandOutput> done = door_.Shell(script + " --wrap true");
    if (!done && done.error().code() == Code::kUnimplemented) return;
    if (!done) return Bad("submission", done.error());
    if (done->exit_code == 0) return Good("submission", "Slurm would take a job of this user");
    const bool any_up = std::any_of(look.nodes.begin(), look.nodes.end(), [](const Node& node) {
      return UseOf(node.state) == NodeUse::kUp;
    });
    const Error error = ErrorOf("sbatch --test-only", done->err);
    if (any_up) return Bad("submission", error);
    Note("submission", false, error.message(), "no node is up now");
  }

  void DataFolder() {
    const std::string dir = data_dir_ + "/sites";
    const std::string name = ".seen-" + io::SecureRandomHex(8);
    const std::string secret = io::SecureRandomHex(16);
    const std::string there = site_.slurm.data_at.empty() ? data_dir_ : site_.slurm.data_at;
    const Status written = [&]() -> Status {
      TRY(io::MakeDirs(dir));
      return io::WriteFileDurably(dir + "/" + name, secret + "\n");
    }();
    if (!written) return Bad("data folder", written.error());
    const Result<io::CommandOutput> done =
        door_.Shell("cat " + Quoted(there + "/sites/" + name) + " && rm -f " +
                    Quoted(there + "/sites/" + name));
    const bool still_there = io::FileExists(dir + "/" + name);
    (void)io::RemoveFile(dir + "/" + name);
    if (!done && done.error().code() == Code::kUnimplemented)
      return Note("data folder", true, "not looked at: slurmrestd gives no shell", "");
    if (!done) return Bad("data folder", done.error());
    if (done->exit_code != 0 || Trimmed(done->out) != secret) {
      return Bad(
          "data folder",
          fmt::format("the site does not see the lab's data folder {} as {}", data_dir_, there),
          "put it on a file system that both mount (NFS, or sshfs), and say where the site has "
          "it with --data-at");
    }
    if (still_there)
      return Bad("data folder", fmt::format("the site may read {} but not write to it", there),
                 "the site's user has to own it, as here");
    Good("data folder", fmt::format("the site reads and writes it as {}", there));
  }

  void Program() {
    const std::string path = site_.slurm.weir_at.empty() ? weir_binary_ : site_.slurm.weir_at;
    const Result<io::CommandOutput> done = door_.Shell(Quoted(path) + " version");
    if (!done) return;
    Note("weir program", done->exit_code == 0,
         done->exit_code == 0 ? fmt::format("{} runs there", path)
                              : fmt::format("{} does not run there", path),
         "only `weir train` and `weir serve` need it: copy it there and give --weir-at");
  }

  void Rights() {
    const Result<io::CommandOutput> done = door_.Shell(
        "me=$(id -un); [ \"$me\" = root ] || [ \"$me\" = \"$(scontrol show config | "
        "sed -n 's/^SlurmUser *= *\\([^(]*\\).*/\\1/p')\" ] || "
        "sacctmgr -n -P show user \"$me\" format=adminlevel 2>/dev/null | grep -qE "
        "'Operator|Admin'");
    if (!done) return;
    Note("rights to drain", done->exit_code == 0,
         done->exit_code == 0 ? "this user may drain nodes"
                              : "this user may not drain nodes: `weir node drain` stops at Weir",
         "sacctmgr modify user NAME set adminlevel=operator, if the site agrees");
  }

  const wire::SiteSpec& site_;
  Door& door_;
  const std::string& data_dir_;
  const std::string& weir_binary_;
  const Time now_;
  std::vector<wire::SiteCheck> all_;
};

}  // namespace

std::vector<wire::SiteCheck> CheckSite(const wire::SiteSpec& site, Door& door,
                                       const std::string& data_dir, const std::string& weir_binary,
                                       Time now) {
  return Checker(site, door, data_dir, weir_binary, now).Run();
}

}  // namespace weir::control::slurm
