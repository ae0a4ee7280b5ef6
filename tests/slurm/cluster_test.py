"""The clusters themselves: up, work, faults, and nothing left behind however the test ends."""
import os
import signal
import subprocess
import sys
import unittest

import cluster
from cluster import Clusters, wait

SHAPES = ("alpha:2x4", "beta:2x2")


def processes_of(folder):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as f:
                    if folder.encode() in f.read():
                        found.append(int(name))
            except OSError:
                pass
    return found


class ClusterTest(unittest.TestCase):
    def test_two_clusters_run_gangs_and_outlive_their_controllers(self):
        with Clusters(*SHAPES) as clusters:
            alpha, beta = clusters["alpha"], clusters["beta"]
            ranks = alpha.run("srun", "-N2", "-n4", "--gpus-per-task=1", "sh", "-c", "echo $SLURMD_NODENAME").split()
            self.assertEqual(sorted(set(ranks)), alpha.nodes)
            self.assertEqual(len(ranks), 4)
            job = beta.run("sbatch", "--parsable", "-w", beta.nodes[1], "--gres=gpu:a100:2", "-o", "/dev/null",
                           "--no-requeue", "--wrap", "sleep 600").strip()
            state = lambda: {j["JobID"]: j["State"] for j in beta.jobs()}.get(job)
            wait("the job runs", lambda: state() == "RUNNING", 10)
            self.assertEqual(alpha.jobs()[0]["State"], "COMPLETED")
            beta.stop_controller()
            self.assertIn("error", subprocess.run(["squeue"], env={**beta.env, "SLURM_TIME_FORMAT": "standard"},
                                                  capture_output=True, text=True, timeout=60).stderr)
            beta.start_controller()
            wait("the job outlived its controller", lambda: "RUNNING" in beta.run("squeue", "-h", "-o", "%T", check=False), 20)
            folder = alpha.dir
        self.assertEqual(processes_of(os.path.dirname(folder)), [])
        self.assertFalse(os.path.exists(folder))

    def test_nothing_is_left_when_the_test_itself_is_killed(self):
        script = ("import sys; sys.path.insert(0, %r); from cluster import Clusters\n"
                  "c = Clusters('gamma:1x1'); print(c['gamma'].dir, flush=True); input()"
                  % os.path.dirname(os.path.abspath(__file__)))
        test = subprocess.Popen([sys.executable, "-B", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        folder = test.stdout.readline().strip()
        self.assertTrue(processes_of(folder))
        test.send_signal(signal.SIGKILL)
        test.wait()
        test.stdin.close()
        test.stdout.close()
        wait("the daemons are gone", lambda: not processes_of(folder), 10)
        wait("the folder is gone", lambda: not os.path.exists(folder), 10)


if __name__ == "__main__":
    if cluster.missing():
        print(f"skipped: not installed: {', '.join(cluster.missing())}")
        sys.exit(0)
    unittest.main()
