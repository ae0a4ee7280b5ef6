#include "control/drivers/slurm/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "control/drivers/slurm/door.h"

namespace weir::control::slurm {

bool IsShellName(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && letter(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

std::string HostsFile(const Batch& batch) {
  std::string out;
  for (const std::string& host : batch.hosts) out += host + "\n";
  return out;
}

std::string RunScript(const Batch& batch) {
  // wait is cut short by a trapped signal: again, until srun is gone.
  return fmt::format(
      "#!/bin/sh\n"
      "# {holder}, {id}: made by weir, run by Slurm.\n"
      "cd {dir} || exit 75\n"
      "( set -C; echo \"$SLURM_JOB_ID\" > claim ) 2>/dev/null\n"
      "if [ \"$(cat claim)\" != \"$SLURM_JOB_ID\" ] || [ \"${{SLURM_RESTART_COUNT:-0}}\" != 0 ]; "
      "then\n"
      "  echo \"weir: job $SLURM_JOB_ID does nothing: this run belongs to job $(cat claim) (0: it "
      "was withdrawn)\"\n"
      "  exit 75\n"
      "fi\n"
      "trap : TERM INT\n"
      "srun --cpus-per-task={cpus} sh {dir}/rank.sh &\n"
      "pid=$!\n"
      "while :; do wait $pid; code=$?; kill -0 $pid 2>/dev/null || break; done\n"
      "echo $code > done.new && mv done.new done\n"
      "exit $code\n",
      fmt::arg("holder", batch.holder), fmt::arg("id", batch.run_id),
      fmt::arg("dir", Quoted(batch.dir)), fmt::arg("cpus", batch.cpus_per_task));
}

std::string RankScript(const Batch& batch) {
  std::string s =
      "#!/bin/sh\n"
      "# One rank: its environment, its command, and how it ended.\n"
      "dir=" +
      Quoted(batch.dir) +
      "\nr=${SLURM_PROCID:-0}\n"
      "trap : TERM INT\n"
      "finish() { echo \"$1 $(date +%s)\" > \"$dir/exit.$r.new\" && mv \"$dir/exit.$r.new\" "
      "\"$dir/exit.$r\"; exit \"$1\"; }\n";
  const auto set = [&](const std::string& name, const std::string& value) {
    s += "export " + name + "=" + Quoted(value) + "\n";
  };
  // The run's own first: what Weir says of it cannot be said otherwise.
  set("PYTHONUNBUFFERED", "1");
  set("OMP_NUM_THREADS", std::to_string(batch.cpus_per_task));
  for (const auto& [name, value] : batch.env) set(name, value);
  set("WEIR_RUN_ID", batch.run_id);
  set("WEIR_HOLDER", batch.holder);
  set("WEIR_THREADS", std::to_string(batch.cpus_per_task));
  set("WEIR_GRACE_S", fmt::format("{:g}", batch.grace.seconds()));
  set("WEIR_WORLD_SIZE", std::to_string(batch.hosts.size()));
  set("WORLD_SIZE", std::to_string(batch.hosts.size()));
  s += "export WEIR_RANK=$r RANK=$r LOCAL_RANK=${SLURM_LOCALID:-0}\n"
       "export LOCAL_WORLD_SIZE=$(grep -cx \"${SLURMD_NODENAME:-}\" \"$dir/hosts\")\n"
       "export WEIR_RUN_DIR=$dir/$r\n";
  if (!batch.checkpoint_dir.empty()) set("WEIR_CHECKPOINT_DIR", batch.checkpoint_dir);
  if (!batch.progress_path.empty())
    s += "[ $r != 0 ] || export WEIR_PROGRESS_FILE=" + Quoted(batch.progress_path) + "\n";
  if (batch.hosts.size() > 1) {
    set("WEIR_RENDEZVOUS", fmt::format("{}:{}", batch.first_address, batch.port));
    set("MASTER_ADDR", batch.first_address);
    set("MASTER_PORT", std::to_string(batch.port));
  }
  s += "mkdir -p \"$dir/$r\" || finish 126\n";
  // Output first: whatever goes wrong from here on is in the log.
  if (batch.log_path.empty())
    s += "exec >/dev/null 2>&1\n";
  else
    s += "log=" + Quoted(batch.log_path) +
         "\n[ $r = 0 ] || log=$log.$r\nexec >>\"$log\" 2>&1 || finish 126\n";
  s += batch.cwd.empty() ? "mkdir -p \"$dir/$r/work\" && cd \"$dir/$r/work\" || finish 126\n"
                         : "cd " + Quoted(batch.cwd) + " || finish 126\n";
  if (batch.wants_port) {
    // The first port from there on that nobody on this node listens at. What another takes between
    // this look and the command's own bind makes the command fail, and the lab start it again.
    s += fmt::format(
        "taken=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | "
        "awk '$4==\"0A\"{{n=split($2,a,\":\"); print a[n]}}')\n"
        "port={}\n"
        "while printf '%s\\n' \"$taken\" | grep -qx \"$(printf %04X \"$port\")\"; do port=$((port "
        "+ 1)); "
        "done\n"
        "export WEIR_PORT=$port WEIR_HOST=0.0.0.0\n"
        "echo \"{} $port\" > \"$dir/address.new\" && mv \"$dir/address.new\" \"$dir/address\"\n",
        batch.port, batch.first_address);
  }
  for (const std::string& word : batch.command) s += Quoted(word) + " ";
  s += "&\n"
       "pid=$!\n"
       "while :; do wait $pid; code=$?; kill -0 $pid 2>/dev/null || break; done\n"
       "finish $code\n";
  return s;
}

}  // namespace weir::control::slurm
