"""kill -9 of `weir up` at any instant: nothing acknowledged is lost, nothing is started twice.

Each round submits jobs while the control plane is killed at a random moment and started again.
Every job appends "run-id pid" to a file of its own when it starts, so a run that was started twice
shows as a line too many, and a job that was lost shows as one too few. SEED= replays the moments.
"""
import os
import random
import signal
import sys
import threading
import time
import unittest

from harness import Lab, Refused

ROUNDS = int(os.environ.get("ROUNDS", "8"))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 32))), 0)


class Kill9(unittest.TestCase):
    def test_nothing_acknowledged_is_lost_and_nothing_runs_twice(self):
        print(f"SEED={SEED}", flush=True)
        rng = random.Random(SEED)
        with Lab(["--empty", "--site-slots", "4"]) as lab:
            starts = os.path.join(lab.data, "starts")
            script = f'echo "$WEIR_JOB $WEIR_RUN" >> {starts}; sleep 0.15'
            lab.put("/api/v1/teams/" + "research", {"name": "research", "class": "research", "guarantee_slots": 4})
            acknowledged = []
            for round_number in range(ROUNDS):
                moment = rng.uniform(0.0, 0.6)
                killer = threading.Timer(moment, lab.kill9)
                killer.start()
                n = 0
                while killer.is_alive() or lab.process.poll() is None:
                    name = f"r{round_number}-{n}"
                    n += 1
                    try:
                        job = lab.post("/api/v1/jobs", {"name": name, "team": "research", "max_retries": 0,
                                                        "command": ["/bin/sh", "-c", script]}, timeout=5)
                        acknowledged.append(job["id"])
                    except (Refused, OSError):
                        pass
                    time.sleep(0.02)
                killer.join()
                lab.start()
            def all_ended():
                jobs = {job["id"]: job for job in lab.view()["jobs"]}
                missing = [i for i in acknowledged if i not in jobs]
                self.assertEqual(missing, [], "acknowledged, then lost")
                return all(jobs[i]["phase"] in ("done", "failed", "cancelled") for i in acknowledged)
            lab.wait("every acknowledged job has ended", all_ended, 120)
            jobs = {job["id"]: job for job in lab.view()["jobs"]}
            not_done = {i: (jobs[i]["phase"], jobs[i]["reason"]) for i in acknowledged if jobs[i]["phase"] != "done"}
            self.assertEqual(not_done, {})
            with open(starts, encoding="utf-8") as f:
                lines = f.read().split("\n")[:-1]
            self.assertEqual(len(lines), len(set(lines)), "a run was started twice")
            for job in acknowledged:
                self.assertEqual(sum(line.split()[0] == job for line in lines), 1, f"{job} ran once")
            lab.stop()
            lab.verify()
            print(f"{len(acknowledged)} jobs through {ROUNDS} kills", flush=True)

    def test_a_running_job_is_adopted_and_goes_on_in_the_same_process(self):
        with Lab(["--empty", "--site-slots", "4"]) as lab:
            pid_file = os.path.join(lab.data, "pid")
            lab.put("/api/v1/teams/" + "research", {"name": "research", "class": "research", "guarantee_slots": 4})
            lab.post("/api/v1/jobs", {"name": "long", "team": "research",
                                      "command": ["/bin/sh", "-c", f"echo $$ >> {pid_file}; while :; do sleep 0.1; done"]})
            lab.wait("it runs", lambda: os.path.exists(pid_file), 20)
            lab.wait("it is seen running", lambda: lab.job("long")["phase"] == "running", 20)
            for _ in range(3):
                lab.kill9()
                lab.start()
            time.sleep(0.5)
            self.assertEqual(lab.job("long")["phase"], "running")
            with open(pid_file, encoding="utf-8") as f:
                pids = f.read().split()
            self.assertEqual(len(pids), 1, "it was started once")
            os.kill(int(pids[0]), 0)
            lab.post(f"/api/v1/jobs/{lab.job('long')['id']}/cancel")
            lab.wait("it is cancelled", lambda: lab.job("long")["phase"] == "cancelled", 40)
            with self.assertRaises(OSError):
                os.kill(int(pids[0]), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
