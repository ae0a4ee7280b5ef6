#!/usr/bin/env python3
"""Real Slurm clusters on this host, for tests and benches: each has a controller, slurmd for every node,
munge with a key of its own, and GRES that no hardware stands behind.

    with Clusters("alpha:3x4", "beta:2x2") as clusters:       # name:NODESxGPUS
        alpha = clusters["alpha"]
        alpha.run("sinfo")                                    # any Slurm command, against this cluster
        alpha.kill_node("alpha2"); alpha.start_node("alpha2")
        alpha.stop_controller(); alpha.start_controller()

or from a shell or another language, until its standard input ends:
    cluster.py alpha:3x4 beta:2x2                             # prints one line of JSON: name -> {conf, dir, nodes}

Everything lives in a temporary folder, on ports that were free, as the user who calls. The daemons belong
to a keeper, a process that every orphan of theirs falls back to: when the test ends, or dies however it
dies, the keeper sees its standard input end, kills all that is left and removes the folder.
"""
import contextlib
import ctypes
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

GPU_TYPES = {"alpha": "h100", "beta": "a100"}  # others: "gpu"
CPUS_PER_GPU = 2
NODE_MEMORY_MB = 4000
START_TRIES = 3
# A GPU needs a character device of its own; nobody opens these.
DEVICES = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"]
PROGRAMS = ["slurmctld", "slurmd", "munged", "sbatch", "srun"]


def missing():
    """The programs that a cluster needs and this machine lacks."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [p for p in PROGRAMS if shutil.which(p, path=path) is None]


def program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") or name


def wait(what, condition, seconds):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not so: {what}")
        time.sleep(0.02)


def free_ports(count):
    """Distinct free ports. Held together until all are known, so that none is given twice."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def descendants(root):
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as f:
                children.setdefault(int(f.read().rpartition(")")[2].split()[1]), []).append(int(name))
    found, look = [], [root]
    while look:
        for child in children.get(look.pop(), []):
            found.append(child)
            look.append(child)
    return found


# ---- the keeper: its own process, which owns the daemons ----

class Daemons:
    """The daemons of one cluster, as children of the keeper."""

    def __init__(self, root, spec):
        self.name, _, shape = spec.partition(":")
        options = shape.split(",")
        nodes, _, gpus = options[0].partition("x")
        self.settings = [o.partition("=")[::2] for o in options[1:]]  # lines of slurm.conf
        self.nodes = [f"{self.name}{i + 1}" for i in range(int(nodes))]
        self.gpus = int(gpus or 0)
        if self.gpus > len(DEVICES):
            raise SystemExit(f"cluster.py: {spec}: at most {len(DEVICES)} GPUs a node")
        self.dir = os.path.join(root, self.name)
        self.conf = os.path.join(self.dir, "slurm.conf")
        self.processes = {}
        for folder in ("munge", "state", "log", *(f"spool.{n}" for n in self.nodes)):
            os.makedirs(os.path.join(self.dir, folder), mode=0o755)
        key = os.path.join(self.dir, "munge", "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o400), "wb") as f:
            f.write(os.urandom(1024))

    def write_conf(self):
        ports = free_ports(1 + len(self.nodes))
        user, d, gpu = getpass.getuser(), self.dir, GPU_TYPES.get(self.name, "gpu")
        cpus = CPUS_PER_GPU * max(1, self.gpus)
        settings = {
            "ClusterName": self.name, "SlurmctldHost": "localhost(127.0.0.1)", "SlurmUser": user, "SlurmdUser": user,
            "SlurmctldPort": ports[0], "AuthType": "auth/munge", "AuthInfo": f"socket={d}/munge/socket",
            "CredType": "cred/munge", "StateSaveLocation": f"{d}/state", "SlurmdSpoolDir": f"{d}/spool.%n",
            "SlurmctldPidFile": f"{d}/slurmctld.pid", "SlurmdPidFile": f"{d}/slurmd.%n.pid",
            "SlurmctldLogFile": f"{d}/log/slurmctld.log", "SlurmdLogFile": f"{d}/log/slurmd.%n.log",
            # No cgroups: many machines delegate none.
            "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/none", "AccountingStorageType": "accounting_storage/none",
            "JobCompType": "jobcomp/filetxt", "JobCompLoc": f"{d}/jobcomp.txt",
            "SelectType": "select/cons_tres", "SelectTypeParameters": "CR_Core_Memory", "SchedulerType": "sched/backfill",
            "SchedulerParameters": "sched_interval=1,bf_interval=1,batch_sched_delay=0,default_queue_depth=2000",
            "ReturnToService": 2, "SlurmctldTimeout": 10, "SlurmdTimeout": 6, "KillWait": 3, "MinJobAge": 60,
            "InactiveLimit": 0, "MailProg": "/bin/true", "SwitchType": "switch/none", "MpiDefault": "none",
            "SlurmdParameters": "config_overrides", "MaxJobCount": 20000,
        }
        if self.gpus:
            settings["GresTypes"] = "gpu"
        settings.update(self.settings)
        gres = f"Gres=gpu:{gpu}:{self.gpus} " if self.gpus else ""
        with open(self.conf, "w", encoding="utf-8") as f:
            for name, value in settings.items():
                f.write(f"{name}={value}\n")
            for node, port in zip(self.nodes, ports[1:]):
                f.write(f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={cpus} "
                        f"RealMemory={NODE_MEMORY_MB} {gres}State=UNKNOWN\n")
            f.write(f"PartitionName=main Nodes={','.join(self.nodes)} Default=YES MaxTime=INFINITE State=UP\n")
        if self.gpus:
            with open(os.path.join(d, "gres.conf"), "w", encoding="utf-8") as f:
                f.write("AutoDetect=off\n")
                for node in self.nodes:
                    f.write(f"NodeName={node} Name=gpu Type={gpu} File={','.join(DEVICES[:self.gpus])}\n")

    def spawn(self, what, *argv):
        if self.alive(what):
            return
        with open(os.path.join(self.dir, "log", f"{what}.out"), "ab") as log:
            self.processes[what] = subprocess.Popen(
                [program(argv[0]), *argv[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "SLURM_CONF": self.conf}, start_new_session=True)

    def alive(self, what):
        return what in self.processes and self.processes[what].poll() is None

    def kill(self, what, sig=signal.SIGKILL):
        if self.alive(what):
            self.processes[what].send_signal(sig)
            self.processes[what].wait()

    def munge(self):
        m = os.path.join(self.dir, "munge")
        self.spawn("munge", "munged", "--foreground", "--force", f"--key-file={m}/key", f"--socket={m}/socket",
                   f"--pid-file={m}/pid", f"--log-file={m}/log", f"--seed-file={m}/seed")
        wait(f"munge of {self.name} listens", lambda: os.path.exists(f"{m}/socket") or not self.alive("munge"), 10)

    def controller(self):
        self.spawn("controller", "slurmctld", "-D", "-f", self.conf)

    def node(self, name):
        self.spawn(name, "slurmd", "-D", "-N", name, "-f", self.conf)

    def node_tree(self, name):
        """A node's slurmd and what it started there: a machine that dies takes all of it."""
        pids = []
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as f:
                if f"SLURMD_NODENAME={name}\0".encode() in f.read():
                    pids.append(pid)
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ")
                if b"slurmstepd" in line and f"spool.{name}".encode() in os.readlink(f"/proc/{pid}/cwd").encode():
                    pids.append(pid)
        return pids

    def lose(self, name):
        self.kill(name)
        for pid in self.node_tree(name):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def forget(self):
        """The controller loses every job that it knew, as one that forgets them after MinJobAge."""
        self.kill("controller")
        for name in os.listdir(os.path.join(self.dir, "state")):
            if name.startswith("job_state"):
                os.unlink(os.path.join(self.dir, "state", name))
            elif name.startswith("hash."):
                shutil.rmtree(os.path.join(self.dir, "state", name))
        self.spawn("controller", "slurmctld", "-D", "-i", "-f", self.conf)  # -i: although its state is not there

    def break_spool(self, name):
        """The node's slurmd can write nothing any more, as when its disk is full."""
        spool = os.path.join(self.dir, f"spool.{name}")
        os.rename(spool, spool + ".away")
        with open(spool, "w", encoding="utf-8"):
            pass

    def mend_spool(self, name):
        spool = os.path.join(self.dir, f"spool.{name}")
        os.unlink(spool)
        os.rename(spool + ".away", spool)

    def ready(self):
        done = subprocess.run([program("sinfo"), "-h", "-N", "-o", "%N %T"], capture_output=True, text=True,
                              env={**os.environ, "SLURM_CONF": self.conf}, check=False)
        up = [line for line in done.stdout.splitlines() if line.endswith(" idle")]
        return len(up) == len(self.nodes)

    def start(self):
        for attempt in range(START_TRIES):
            self.write_conf()
            self.munge()
            self.controller()
            for node in self.nodes:
                self.node(node)
            try:
                wait(f"all nodes of {self.name} are idle",
                     lambda: self.ready() or not all(self.alive(w) for w in ("controller", *self.nodes)), 30)
                if self.ready():
                    return
            except AssertionError:
                pass
            for what in list(self.processes):
                self.kill(what)
            if attempt + 1 == START_TRIES:
                raise SystemExit(f"cluster.py: {self.name} did not start:\n" + self.logs())

    def logs(self):
        text = ""
        folder = os.path.join(self.dir, "log")
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                text += f"--- {name}\n" + "".join(f.readlines()[-12:])
        return text


def keep(specs):
    """Starts the clusters, obeys lines of JSON [cluster, method, argument...], ends with standard input."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, lambda *_: sys.exit(1))
    root = tempfile.mkdtemp(prefix="weir-slurm-")
    os.chmod(root, 0o755)
    clusters = {}
    try:
        for spec in specs:
            daemons = Daemons(root, spec)
            clusters[daemons.name] = daemons
        for daemons in clusters.values():
            daemons.start()
        print(json.dumps({n: {"conf": c.conf, "dir": c.dir, "nodes": c.nodes, "gpus": c.gpus}
                          for n, c in clusters.items()}), flush=True)
        for line in sys.stdin:
            cluster, method, *arguments = json.loads(line)
            try:
                getattr(clusters[cluster], method)(*arguments)
                print('{"ok":true}', flush=True)
            except Exception as error:  # pylint: disable=broad-except
                print(json.dumps({"ok": False, "error": repr(error)}), flush=True)
    finally:
        for _ in range(200):  # what is killed may leave children: again until there are none
            left = descendants(os.getpid())
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not left:
                break
            time.sleep(0.01)
        shutil.rmtree(root, ignore_errors=True)


# ---- for tests: a handle on a keeper ----

class Cluster:
    def __init__(self, owner, name, info):
        self.owner, self.name = owner, name
        self.conf, self.dir, self.nodes, self.gpus = info["conf"], info["dir"], info["nodes"], info["gpus"]
        self.env = {**os.environ, "SLURM_CONF": self.conf, "PATH": os.environ.get("PATH", "") + ":/usr/sbin"}

    def run(self, *argv, check=True, **more):
        done = subprocess.run(argv, capture_output=True, text=True, env=self.env, timeout=60, check=False, **more)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(argv)} at {self.name} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def jobs(self, *fields):
        """Rows of squeue, ended jobs among them while Slurm remembers them."""
        fields = fields or ("JobID", "State", "Name", "NodeList")
        rows = self.run("squeue", "-h", "-a", "-t", "all", "-O", ",".join(f"{f}:\x1f" for f in fields))
        return [dict(zip(fields, line.split("\x1f"))) for line in rows.splitlines()]

    def accounting(self):
        """Every job that has ended, oldest first, from Slurm's own record of completions."""
        with contextlib.suppress(FileNotFoundError), open(f"{self.dir}/jobcomp.txt", encoding="utf-8", errors="replace") as f:
            return [dict(word.partition("=")[::2] for word in line.split() if "=" in word) for line in f]
        return []

    def stop_controller(self):
        """SIGTERM: it saves what it knows. kill_controller loses the last seconds of it, as a crash does."""
        self.owner.tell(self.name, "kill", "controller", signal.SIGTERM)

    def kill_controller(self):
        self.owner.tell(self.name, "kill", "controller")

    def start_controller(self):
        self.owner.tell(self.name, "controller")

    def stop_munge(self):
        self.owner.tell(self.name, "kill", "munge")

    def start_munge(self):
        self.owner.tell(self.name, "munge")

    def controller_forgets(self):
        self.owner.tell(self.name, "forget")

    def break_spool(self, node):
        self.owner.tell(self.name, "break_spool", node)

    def mend_spool(self, node):
        self.owner.tell(self.name, "mend_spool", node)

    def kill_slurmd(self, node):
        """The daemon alone: what runs there runs on."""
        self.owner.tell(self.name, "kill", node)

    def kill_node(self, node):
        """As when the machine dies: the daemon and all that it runs."""
        self.owner.tell(self.name, "lose", node)

    def start_node(self, node):
        self.owner.tell(self.name, "node", node)

    def lose_all(self):
        """The whole site is gone at one instant."""
        for what in ("controller", *self.nodes):
            self.owner.tell(self.name, "lose" if what != "controller" else "kill", what)

    def start_all(self):
        self.start_munge()
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)


class Clusters(dict):
    def __init__(self, *specs):
        super().__init__()
        self.keeper = subprocess.Popen([sys.executable, "-B", os.path.abspath(__file__), *specs],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        answer = self.keeper.stdout.readline()
        if not answer:
            raise AssertionError(f"the clusters did not start (status {self.keeper.wait()})")
        for name, info in json.loads(answer).items():
            self[name] = Cluster(self, name, info)

    def tell(self, *words):
        self.keeper.stdin.write(json.dumps(words) + "\n")
        self.keeper.stdin.flush()
        answer = json.loads(self.keeper.stdout.readline() or '{"ok":false,"error":"the keeper is gone"}')
        if not answer["ok"]:
            raise AssertionError(f"{words}: {answer['error']}")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.keeper.stdin.close()
        self.keeper.wait()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    if missing():
        sys.exit(f"cluster.py: not installed: {', '.join(missing())} (apt-get install slurmctld slurmd slurm-client munge)")
    keep(sys.argv[1:])
