#include "control/drivers/slurm/door.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::control::slurm {
namespace {

constexpr Duration kCallLimit = Duration::Seconds(30);
constexpr size_t kSaidBytes = 300;

// One line, bounded, for a message.
std::string OneLine(std::string_view text) {
  std::string line;
  for (const char c : text.substr(0, 4 * kSaidBytes))
    line += c == '\n' || c == '\r' || c == '\t'  ? ' '
            : static_cast<unsigned char>(c) < 32 ? '?'
                                                 : c;
  while (!line.empty() && line.back() == ' ') line.pop_back();
  if (line.size() > kSaidBytes) line = line.substr(0, kSaidBytes) + "...";
  return line;
}

bool Has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

std::string Quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

Error ErrorOf(const std::string& what, std::string_view said) {
  const std::string sentence = what + ": " + (said.empty() ? "no reason given" : OneLine(said));
  struct Known {
    std::string_view part;
    Code code;
    std::string_view hint;
  };
  // By Slurm's own words, the more particular first.
  static constexpr Known kKnown[] = {
      {"invalid partition", Code::kInvalidArgument, "see `sinfo -s` for the partitions"},
      {"Invalid partition", Code::kInvalidArgument, "see `sinfo -s` for the partitions"},
      {"invalid account", Code::kInvalidArgument,
       "give --account, or ask the site for an association"},
      {"Invalid account", Code::kInvalidArgument,
       "give --account, or ask the site for an association"},
      {"Invalid qos", Code::kInvalidArgument, "give --qos as the site allows it"},
      {"generic resource", Code::kInvalidArgument, "see `sinfo -o %G` for what the nodes have"},
      {"Invalid node name", Code::kInvalidArgument, "the node has left the cluster"},
      {"Invalid feature", Code::kInvalidArgument, ""},
      {"Requested reservation is invalid", Code::kInvalidArgument,
       "see `scontrol show reservation`"},
      {"Requested time limit is invalid", Code::kInvalidArgument, "the partition's MaxTime"},
      {"Memory specification can not be satisfied", Code::kInvalidArgument,
       "ask for less memory for each rank"},
      {"Memory required by task is not available", Code::kInvalidArgument,
       "ask for less memory for each rank"},
      {"CPU count per node can not be satisfied", Code::kInvalidArgument, ""},
      {"ser/group not permitted", Code::kPermissionDenied, "the partition's AllowGroups"},
      {"ccess/permission denied", Code::kPermissionDenied,
       "the site's account lacks this right: docs/guides/slurm-site.md"},
      {"access denied", Code::kPermissionDenied, "docs/guides/slurm-site.md lists the rights"},
      {"Job violates accounting/QOS policy", Code::kResourceExhausted, "the site's limits"},
      {"temporarily unable to accept job", Code::kResourceExhausted, "MaxJobCount"},
      {"munge", Code::kUnavailable, "munged does not answer at the site"},
      {"MUNGE", Code::kUnavailable, "munged does not answer at the site"},
      {"rotocol authentication error", Code::kUnavailable, "munge keys differ, or munged is gone"},
      {"No space left", Code::kUnavailable, "a spool is full at the site"},
      {"Permission denied (", Code::kUnavailable,
       "ssh was refused; a key that asks for a passphrase has to be in an agent (ssh-add)"},
      {"Host key verification failed", Code::kUnavailable,
       "connect once by hand, so that the host's key is known"},
      {"not found", Code::kUnavailable, "Slurm's commands are not in PATH there"},
      {"No such file or directory", Code::kUnavailable, ""},
  };
  for (const Known& known : kKnown) {
    if (Has(said, known.part)) return Error(known.code, sentence).Hint(std::string(known.hint));
  }
  return Error(Code::kUnavailable, sentence)
      .Hint("is the controller up? `weir doctor --site NAME`");
}

// ---- shells ----

namespace {

class ProcessShell final : public Shell {
 public:
  // The script goes behind `argv`, once more quoted for `remote`.
  ProcessShell(std::vector<std::string> argv, bool remote, std::map<std::string, std::string> env)
      : argv_(std::move(argv)), remote_(remote), env_(env.begin(), env.end()) {}

  Result<io::CommandOutput> Run(const std::string& script) override {
    io::CommandSpec spec;
    spec.argv = argv_;
    // A login shell of another family would read the script its own way.
    spec.argv.push_back(remote_ ? "exec sh -c " + Quoted(script) : script);
    spec.env = env_;
    spec.limit = kCallLimit;
    Result<io::CommandOutput> done = io::RunCommand(spec, &interruption_);
    if (!done) return Error(Code::kUnavailable, done.error().message());
    if (remote_ && done->exit_code == 255) return ErrorOf("ssh", done->err);
    return done;
  }
  void Interrupt() override { interruption_.Throw(); }

 private:
  const std::vector<std::string> argv_;
  const bool remote_;
  const std::vector<std::pair<std::string, std::string>> env_;
  io::Interruption interruption_;
};

// ---- the command line ----

// Everything that a script prints begins with one of these, so that a banner of a login shell or a
// warning between is never taken for data.
constexpr char kMark = '\x1e';

class CommandLine final : public Door {
 public:
  CommandLine(std::unique_ptr<class Shell> shell, wire::SlurmSite site)
      : shell_(std::move(shell)), site_(std::move(site)) {}

  Result<Facts> Ask() override {
    const std::string partition = site_.partition.empty() ? "" : " " + Quoted(site_.partition);
    const auto parts = TRY(Sections(Script({
        {"config", "scontrol show config", true},
        {"partitions", "sinfo -h -a -o %P", true},
        {"partition", "scontrol -o show partition" + partition, false},
        {"topology", "scontrol -o show topology", false},
        {"accounting", "sacct -X -n -P -o jobid -S now", false},
    })));
    Facts facts;
    const std::string& config = parts.at("config");
    facts.cluster = ConfigValue(config, "ClusterName").value_or("");
    facts.version = ConfigValue(config, "SLURM_VERSION").value_or("");
    const std::string select = ConfigValue(config, "SelectTypeParameters").value_or("");
    facts.memory_is_shared_out = Has(select, "MEMORY") || Has(select, "Memory");
    facts.accounting =
        !Has(ConfigValue(config, "AccountingStorageType").value_or("none"), "none") &&
        parts.count("accounting") != 0;
    const std::string age = ConfigValue(config, "MinJobAge").value_or("300 sec");
    facts.forgets_after = Duration::Seconds(std::atoll(age.c_str()));
    std::string_view rest = parts.at("partitions");
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      std::string name(rest.substr(0, end));
      rest.remove_prefix(std::min(rest.size(), end + 1));
      if (name.ends_with('*')) {
        name.pop_back();
        facts.default_partition = name;
      }
      if (!name.empty()) facts.partitions.push_back(name);
    }
    if (const auto it = parts.find("partition"); it != parts.end()) {
      const std::string wanted =
          site_.partition.empty() ? facts.default_partition : site_.partition;
      std::string_view lines = it->second;
      while (!lines.empty()) {
        const size_t end = std::min(lines.find('\n'), lines.size());
        const std::string_view line = lines.substr(0, end);
        if (WordOf(line, "PartitionName") == wanted)
          facts.longest = ParseTimeLimit(WordOf(line, "MaxTime"));
        lines.remove_prefix(std::min(lines.size(), end + 1));
      }
    }
    if (const auto it = parts.find("topology"); it != parts.end())
      facts.topology = TRY(ParseTopology(it->second));
    return facts;
  }

  Result<Look> LookAround() override {
    const std::string partition = site_.partition.empty() ? "" : " -p " + Quoted(site_.partition);
    const auto parts = TRY(Sections(Script({
        {"clock", "date +%s", true},
        {"jobs", std::string("squeue -h -a --me -t all -O ") + Quoted(kJobFields), true},
        {"nodes", std::string("sinfo -h -a -N") + partition + " -O " + Quoted(kNodeFields), true},
        {"reservations", "scontrol -o show reservation", false},
    })));
    Look look;
    look.clock = {std::atoll(parts.at("clock").c_str()) * 1'000'000};
    look.jobs = TRY(ParseJobs(parts.at("jobs")));
    look.nodes = TRY(ParseNodes(parts.at("nodes")));
    std::erase_if(look.nodes, [&](const Node& node) {
      return site_.partition.empty() ? !node.default_partition : node.partition != site_.partition;
    });
    if (const auto it = parts.find("reservations"); it != parts.end())
      look.reservations = TRY(ParseReservations(it->second));
    return look;
  }

  Result<std::vector<Result<int64_t>>> Submit(const std::vector<Submission>& all) override {
    std::string script = Head();
    // A job of that name is the one that an earlier try made: one list for all that may have one.
    if (std::any_of(all.begin(), all.end(), [](const Submission& s) { return !s.fresh; }))
      script += "known=$(squeue -h -a --me -t all -O 'JobID:|,Name:|') || exit 41\n";
    script +=
        "new() {\n"
        "  n=$1; shift\n"
        "  said=$(\"$@\" 2>&1)\n"
        "  printf '\\036%s %s %s\\n' \"$n\" $? \"$said\"\n"
        "}\n"
        "again() {\n"
        "  said=$(printf '%s\\n' \"$known\" | awk -F'|' -v n=\"$2\" '$2==n{print $1; exit}')\n"
        "  if [ -n \"$said\" ]; then printf '\\036%s 0 %s\\n' \"$1\" \"$said\"; return; fi\n"
        "  n=$1; shift 2\n"
        "  new \"$n\" \"$@\"\n"
        "}\n";
    for (size_t i = 0; i < all.size(); ++i) script += SubmitLine(i, all[i]);
    const io::CommandOutput done = TRY(shell_->Run(script));
    if (done.exit_code == 41) return ErrorOf("the queue cannot be read", done.err);
    std::vector<Result<int64_t>> ids(
        all.size(),
        Error(Code::kUnavailable, "the submission was cut short: " + OneLine(done.err)));
    for (size_t at = done.out.find(kMark); at != std::string::npos; at = done.out.find(kMark, at)) {
      const size_t end = std::min(done.out.find(kMark, ++at), done.out.size());
      std::string_view line = std::string_view(done.out).substr(at, end - at);
      char* rest = nullptr;
      const std::string copy(line);
      const unsigned long long n = std::strtoull(copy.c_str(), &rest, 10);
      const long rc = std::strtol(rest, &rest, 10);
      if (n >= all.size()) continue;
      const std::string_view said = std::string_view(rest);
      if (rc != 0)
        ids[n] = ErrorOf("sbatch", said.substr(std::min(said.find_first_not_of(' '), said.size())));
      else
        ids[n] = IdOf(said);
    }
    return ids;
  }

  Status Send(Nudge nudge, const std::vector<int64_t>& jobs) override {
    if (jobs.empty()) return {};
    std::string script = Head() + (nudge == Nudge::kTerm ? "scancel -s TERM" : "scancel");
    for (const int64_t job : jobs) script += fmt::format(" {}", job);
    const io::CommandOutput done = TRY(shell_->Run(script));
    // A job or a step that is over by now makes scancel complain and is what was wanted.
    if (done.exit_code == 0 || Has(done.err, "nvalid job id") ||
        Has(done.err, "already completing") || Has(done.err, "already completed") ||
        Has(done.err, "tep completing") || Has(done.err, "not running"))
      return {};
    return ErrorOf("scancel", done.err);
  }

  Result<std::vector<Job>> Remembered(const std::vector<int64_t>& jobs) override {
    std::string list;
    for (const int64_t job : jobs) list += (list.empty() ? "" : ",") + std::to_string(job);
    const io::CommandOutput done =
        TRY(shell_->Run(Head() + "sacct -X -n -P -o jobid,state,exitcode,jobname -j " + list));
    if (done.exit_code != 0) return ErrorOf("sacct", done.err);
    return ParseAccounting(done.out);
  }

  Status Drain(const std::string& node, const std::string& why) override {
    return Plain("scontrol", fmt::format("scontrol update nodename={} state=drain reason={}",
                                         Quoted(node), Quoted(why)));
  }
  Status Resume(const std::string& node) override {
    return Plain("scontrol", fmt::format("scontrol update nodename={} state=resume", Quoted(node)));
  }

  Result<io::CommandOutput> Shell(const std::string& script) override {
    return shell_->Run(Head() + script);
  }
  void Interrupt() override { shell_->Interrupt(); }

 private:
  struct Part {
    const char* name;
    std::string command;
    bool needed;
  };

  std::string Head() const {
    std::string head = "export LC_ALL=C SLURM_TIME_FORMAT=%s\n";
    if (!site_.conf.empty()) head += "export SLURM_CONF=" + Quoted(site_.conf) + "\n";
    return head;
  }

  std::string Script(const std::vector<Part>& parts) const {
    std::string script = Head();
    for (const Part& part : parts) {
      // A section counts once its command has succeeded: "name" before, "name." after.
      script += fmt::format("printf '\\036{0}\\n'; {1}", part.name, part.command);
      script += part.needed ? fmt::format(" || exit 41; printf '\\036{}.\\n'\n", part.name)
                            : fmt::format(" 2>/dev/null && printf '\\036{}.\\n'\n", part.name);
    }
    return script + "printf '\\036end\\n'\n";
  }

  Result<std::map<std::string, std::string>> Sections(const std::string& script) {
    const io::CommandOutput done = TRY(shell_->Run(script));
    if (done.exit_code != 0) return ErrorOf("the controller does not answer", done.err);
    std::map<std::string, std::string> parts;
    std::string open_name, open_text;
    bool ended = false;
    for (size_t at = done.out.find(kMark); at != std::string::npos;) {
      const size_t line_end = std::min(done.out.find('\n', at), done.out.size());
      const std::string name = done.out.substr(at + 1, line_end - at - 1);
      const size_t next = done.out.find(kMark, line_end);
      const size_t begin = std::min(line_end + 1, done.out.size());
      if (name == open_name + ".") {
        parts[open_name] = open_text;
      } else {
        ended = name == "end";
        open_name = name;
        open_text = done.out.substr(begin, std::min(next, done.out.size()) - begin);
      }
      at = next;
    }
    if (!ended) return Error(Code::kUnavailable, "the controller's answer was cut short");
    return parts;
  }

  std::string SubmitLine(size_t n, const Submission& s) const {
    const auto file = [&](const char* name) { return Quoted(s.dir + "/" + name); };
    std::string line = fmt::format("cd {} 2>/dev/null; ", Quoted(s.dir));
    line += s.fresh ? fmt::format("new {} ", n) : fmt::format("again {} {} ", n, Quoted(s.name));
    if (s.arbitrary) line += fmt::format("env SLURM_HOSTFILE={} ", file("hosts"));
    line += fmt::format("sbatch --parsable --no-requeue --export=ALL -J {} --comment={}",
                        Quoted(s.name), Quoted(s.comment));
    line += fmt::format(" -D {} -o {} --open-mode=append -n {} -N {} -c {}", Quoted(s.dir),
                        file("slurm.out"), s.ranks, s.nodes, s.cpus_per_task);
    line += s.arbitrary ? " -m arbitrary" : " -w " + Quoted(s.host);
    if (s.mem_per_cpu_mb > 0) line += fmt::format(" --mem-per-cpu={}M", s.mem_per_cpu_mb);
    if (!s.gpus_per_task.empty()) line += " --gpus-per-task=" + Quoted(s.gpus_per_task);
    if (!s.extra_gres.empty()) line += " --gres=" + Quoted(s.extra_gres);
    if (!site_.partition.empty()) line += " -p " + Quoted(site_.partition);
    if (!site_.account.empty()) line += " -A " + Quoted(site_.account);
    if (!site_.qos.empty()) line += " -q " + Quoted(site_.qos);
    if (!site_.reservation.empty()) line += " --reservation=" + Quoted(site_.reservation);
    if (s.limit.us > 0) {
      line += fmt::format(" -t {}", std::max<int64_t>(1, (s.limit.us + 59'999'999) / 60'000'000));
      line +=
          fmt::format(" --signal=TERM@{}", std::clamp<int64_t>(s.grace.us / 1'000'000, 1, 65'535));
    }
    return line + " " + file("run.sh") + "\n";
  }

  static Result<int64_t> IdOf(std::string_view said) {
    // The last word that begins with a digit: "sbatch: warning ... 17;alpha".
    int64_t id = 0;
    for (size_t at = 0; at < said.size();) {
      const size_t space = std::min(said.find_first_of(" \n", at), said.size());
      const std::string word(said.substr(at, space - at));
      if (!word.empty() &&
          word.find_first_not_of("0123456789") == std::min(word.find(';'), std::string::npos))
        id = std::atoll(word.c_str());
      at = space + 1;
    }
    if (id <= 0) return Error(Code::kUnavailable, "sbatch gave no job id: " + OneLine(said));
    return id;
  }

  Status Plain(const std::string& what, const std::string& command) {
    const io::CommandOutput done = TRY(shell_->Run(Head() + command));
    if (done.exit_code != 0) return ErrorOf(what, done.err.empty() ? done.out : done.err);
    return {};
  }

  const std::unique_ptr<class Shell> shell_;
  const wire::SlurmSite site_;
};

}  // namespace

std::unique_ptr<Shell> LocalShell(std::map<std::string, std::string> env) {
  return std::make_unique<ProcessShell>(std::vector<std::string>{"sh", "-c"}, false,
                                        std::move(env));
}

std::unique_ptr<Shell> SshShell(std::string address, std::map<std::string, std::string> env) {
  return std::make_unique<ProcessShell>(
      std::vector<std::string>{"ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o",
                               "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o",
                               "ControlMaster=auto", "-o", "ControlPath=~/.ssh/weir-%C", "-o",
                               "ControlPersist=60", "--", std::move(address)},
      true, std::move(env));
}

Result<std::unique_ptr<Door>> OpenDoor(const wire::SlurmSite& site,
                                       const std::map<std::string, std::string>& env) {
  switch (site.via) {
    case wire::SlurmVia::kHere:
      return CommandDoor(LocalShell(env), site);
    case wire::SlurmVia::kSsh: {
      auto with_agent = env;  // what keys without a file need
      return CommandDoor(SshShell(site.address, std::move(with_agent)), site);
    }
    case wire::SlurmVia::kRest:
      break;
  }
  return OpenRestDoor(site);
}

std::unique_ptr<Door> CommandDoor(std::unique_ptr<Shell> shell, wire::SlurmSite site) {
  return std::make_unique<CommandLine>(std::move(shell), std::move(site));
}

}  // namespace weir::control::slurm
