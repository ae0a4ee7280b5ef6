#!/usr/bin/env python3
"""Short jobs in a mix of sizes on a real Slurm cluster of this host: through Weir, and by sbatch alone.

    WEIR_PROGRAM=build/src/app/weir bench/slurm/thousands.py --jobs 2000

Says how long each way takes, and how much CPU time the controller (slurmctld) spent: that is what a site's
owner asks. Checks on the way that every job ended exactly once, by the lab's journal and by Slurm's own record
of completed jobs. Both ways run the same shell script under the same srun on the same nodes. Prints JSON.
"""
import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("WEIR_PROGRAM", os.path.join(ROOT, "build", "src", "app", "weir"))
sys.path[:0] = [os.path.join(ROOT, "tests", "slurm"), os.path.join(ROOT, "tests", "system")]
import cluster  # noqa: E402
from cluster import Clusters, wait  # noqa: E402
from harness import Lab  # noqa: E402

SIZES = [1] * 6 + [2] * 3 + [4]  # most are small


def controller_cpu_s(site):
    """CPU seconds of the cluster's slurmctld so far."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as f:
                    line = f.read().split(b"\0")
                if line[0].endswith(b"slurmctld") and site.conf.encode() in line:
                    with open(f"/proc/{name}/stat", encoding="ascii") as f:
                        fields = f.read().rpartition(")")[2].split()
                    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            except OSError:
                pass
    return 0.0


def alone(site, sizes):
    began, cpu = time.monotonic(), controller_cpu_s(site)
    for i, n in enumerate(sizes):
        site.run("sbatch", "--parsable", "-J", f"alone-{i}", "-n", str(n), "--gpus-per-task=h100:1", "--mem-per-cpu=100M",
                 "-o", "/dev/null", "--wrap", "srun true")
    submitted = time.monotonic() - began
    wait("all are done", lambda: not site.run("squeue", "-h", "-o", "%i").strip(), 3600)
    took = time.monotonic() - began
    return {"submitted_s": submitted, "took_s": took, "jobs_per_s": len(sizes) / took,
            "controller_cpu_s": controller_cpu_s(site) - cpu}


def through_weir(site, sizes):
    with Lab(["--empty", "--site-slots", "2", "--log-level", "warn"]) as lab:
        lab.put("/api/v1/teams/research", {"name": "research", "class": "research", "guarantee_slots": 1})
        lab.weir("site", "add", site.name, "--conf", site.conf)
        wait("the site is seen", lambda: any(s["site"] == site.name for s in lab.view()["slots"]), 30)
        before = len(site.accounting())
        began, cpu = time.monotonic(), controller_cpu_s(site)
        for i, n in enumerate(sizes):
            lab.post("/api/v1/jobs", {"name": f"w{i}", "team": "research", "command": ["true"], "cwd": "/", "sites": [site.name],
                                      "min_slots": n, "max_slots": n, "max_retries": 0})
        submitted = time.monotonic() - began
        wait("all are done", lambda: not any(j["phase"] in ("queued", "running", "paused") for j in lab.view()["jobs"]), 3600)
        took, cpu = time.monotonic() - began, controller_cpu_s(site) - cpu
        ended = [r["subjects"][0] for r in lab.journal() if r["type"] in ("job.done", "job.failed", "job.cancelled")]
        assert len(ended) == len(set(ended)) == len(sizes), f"{len(ended)} ends of {len(sizes)} jobs"
        done = [r for r in lab.journal() if r["type"] == "job.done"]
        names = [j["Name"] for j in site.accounting()[before:] if j.get("JobState") == "COMPLETED"]
        assert len(names) == len(set(names)), "a run was completed twice"
        return {"submitted_s": submitted, "took_s": took, "jobs_per_s": len(sizes) / took, "controller_cpu_s": cpu,
                "done": len(done), "other_ends": len(ended) - len(done)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if cluster.missing():
        sys.exit(f"not installed: {', '.join(cluster.missing())}")
    chance = random.Random(args.seed)
    sizes = [chance.choice(SIZES) for _ in range(args.jobs)]
    result = {"bench": "slurm/thousands", "jobs": args.jobs, "slots": args.nodes * 4, "seed": args.seed,
              "machine": platform.machine(), "cores": os.cpu_count(), "slurm": "",
              "commit": subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                                       check=False).stdout.strip()}
    with Clusters(f"alpha:{args.nodes}x4,MinJobAge=30") as clusters:
        site = clusters["alpha"]
        result["slurm"] = site.run("sinfo", "-V").strip()
        result["sbatch_alone"] = alone(site, sizes)
        result["weir"] = through_weir(site, sizes)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
