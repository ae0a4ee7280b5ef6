"""One lab over two real Slurm clusters, as two providers: weir and Slurm are the real programs.

What is checked against Slurm's own word (squeue, the record of completed jobs) as well as the lab's journal:
nothing runs twice, every job ends once, slots are held by one, and what others run is left alone.
"""
import contextlib
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "system"))
import cluster  # noqa: E402
from cluster import Clusters, wait  # noqa: E402
from harness import Lab, Refused  # noqa: E402

# Counts to 10^9 unless it is told to save; then exits 75. What it had is where it goes on.
TRAINER = r"""
import json, os, signal, sys, time
folder, rank = os.environ["WEIR_CHECKPOINT_DIR"], int(os.environ["WEIR_RANK"])
steps, stop = int(sys.argv[1]), []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
path = os.path.join(folder, "step-%d" % rank)
step = int(open(path).read()) if os.path.exists(path) else 0
def save():
    with open(path + ".new", "w") as f: f.write(str(step))
    os.rename(path + ".new", path)
def tell(line):
    if rank == 0:
        with open(os.environ["WEIR_PROGRESS_FILE"], "a") as f: f.write(json.dumps(line) + "\n")
print("rank", rank, "of", os.environ["WORLD_SIZE"], "on", os.environ["SLURMD_NODENAME"], "from", step, flush=True)
while step < steps and not stop:
    step += 1
    tell({"type": "progress", "step": step, "steps": steps})
    if step % 10 == 0:
        save(); tell({"type": "checkpoint", "step": step, "path": folder})
    time.sleep(0.05)
save(); tell({"type": "checkpoint", "step": step, "path": folder})
sys.exit(0 if step >= steps else 75)
"""

SERVER = r"""
import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def answer(self):
        body = b'hello'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    do_GET = answer
http.server.ThreadingHTTPServer((os.environ["WEIR_HOST"], int(os.environ["WEIR_PORT"])), H).serve_forever()
"""


class SiteTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.clusters = Clusters("alpha:2x4", "beta:2x2")
        cls.alpha, cls.beta = cls.clusters["alpha"], cls.clusters["beta"]

    @classmethod
    def tearDownClass(cls):
        cls.clusters.__exit__()

    @contextlib.contextmanager
    def lab(self):
        with Lab(["--empty", "--site-slots", "2", "--log-level", "info"]) as lab:
            lab.put("/api/v1/teams/research", {"name": "research", "class": "research", "guarantee_slots": 1})
            lab.put("/api/v1/teams/product", {"name": "product", "class": "product", "guarantee_slots": 1})
            yield lab

    def add(self, lab, site, *more, **named):
        return lab.weir("site", "add", site.name, "--conf", site.conf, "--poll-every", "300ms", "--load-share", "0.5",
                        "--unknown-after", "4s", *more, **named)

    def usable(self, lab, site):
        return [s for s in lab.view()["slots"] if s["site"] == site.name and s["health"] == "up"]

    def submit(self, lab, name, steps, slots, *more):
        return json.loads(lab.weir("job", "submit", "--json", "--team", "research", "--name", name, "--slots", slots,
                                   "--checkpointable", "--cwd", "/", "--grace", "5s", *more, "--",
                                   "python3", "-c", TRAINER, str(steps)).stdout)["id"]

    def phase(self, lab, job):
        return lab.job(job)["phase"]

    def test_1_a_lab_spans_two_clusters_and_survives_its_own_death(self):
        alpha, beta = self.alpha, self.beta
        with self.lab() as lab:
            # Bad input is said before any work is sent.
            for flags, word in ((["--cluster", "gamma"], "cluster \"alpha\""), (["--partition", "mian"], "--partition main"),
                                (["--gres", "tpu"], "gpu:h100"), (["--data-at", "/nowhere"], "--data-at"),
                                (["--via", "ssh", "--address", "127.0.0.1:1"], "ssh")):
                said = self.add(lab, alpha, *flags, check=False)
                self.assertNotEqual(said.returncode, 0, flags)
                self.assertIn(word, said.stderr + said.stdout, flags)
            self.assertEqual(alpha.jobs(), [])
            self.add(lab, alpha, "--provider", "acme", "--region", "eu", "--price", "2.5")
            self.add(lab, beta, "--provider", "brava", "--region", "us", "--price", "1.5")
            lab.wait("both sites are seen", lambda: len(self.usable(lab, alpha)) == 8 and len(self.usable(lab, beta)) == 4, 20)
            self.assertIn("ok   accelerators", lab.weir("doctor", "--site", "alpha").stdout)

            # A gang of six over two nodes of one site, on exactly the slots of its lease.
            job = self.submit(lab, "gang", 150, "6", "--site", "alpha")
            lab.wait("the gang runs", lambda: self.phase(lab, job) == "running" and lab.job(job).get("progress"), 30)
            lease = [l for l in lab.view()["leases"] if l["holder"] == job][0]
            tasks = sorted(s.split("/")[1] for s in lease["slots"])
            lab.wait("its log is there", lambda: "rank 0 of 6" in lab.weir("job", "logs", "gang").stdout, 10)
            mine = [j for j in alpha.jobs("Name", "State", "tres-alloc") if lease["id"] in j["Name"]]
            self.assertEqual(len(mine), 1)
            held = alpha.run("scontrol", "show", "job", "-d", "-o")
            for node in set(tasks):
                self.assertIn(f"gpu:h100:{tasks.count(node)}(", held)
            lab.wait("the gang is done", lambda: self.phase(lab, job) == "done", 40)

            # kill -9 in the middle of a submission and of a run: found again, nothing twice.
            work = [self.submit(lab, f"w{i}", 60, "2", "--region", "us") for i in range(3)]
            lab.kill9()
            lab.start()
            lab.wait("one runs", lambda: any(self.phase(lab, w) == "running" for w in work), 40)
            lab.kill9()
            lab.start()
            lab.wait("all are done", lambda: all(self.phase(lab, w) == "done" for w in work), 90)
            ended = [e for e in lab.journal() if e["type"] == "job.done"]
            self.assertEqual(len(ended), 4, "each ends once")
            names = [j["Name"] for j in alpha.accounting() + beta.accounting() if j.get("JobState") == "COMPLETED"]
            self.assertEqual(len(names), len(set(names)), "no run was completed twice")
            self.assertEqual(lab.weir("journal", "verify").returncode, 0)

            # Other people's jobs are left alone, and what they hold is not ours.
            theirs = alpha.run("sbatch", "--parsable", "-J", "theirs", "--gres=gpu:h100:3", "-w", alpha.nodes[0], "--mem=100",
                               "-o", "/dev/null", "--wrap", "sleep 600").strip()
            lab.wait("their accelerators are not ours", lambda: len(self.usable(lab, alpha)) == 5, 15)

            # A drain in Slurm flows in, one through Weir flows out, and comes back.
            beta.run("scontrol", "update", f"nodename={beta.nodes[0]}", "state=drain", "reason=hot")
            lab.wait("the drain is seen", lambda: len(self.usable(lab, beta)) == 2, 15)
            beta.run("scontrol", "update", f"nodename={beta.nodes[0]}", "state=resume")
            lab.weir("node", "drain", beta.nodes[1], "--why", "fan")
            state = lambda: beta.run("sinfo", "-h", "-N", "-n", beta.nodes[1], "-o", "%T %E")
            lab.wait("Slurm drains it too", lambda: "drain" in state() and "weir: fan" in state(), 15)
            lab.weir("node", "uncordon", beta.nodes[1])
            lab.wait("Slurm has it back", lambda: "idle" in state(), 15)
            lab.wait("all of beta is usable", lambda: len(self.usable(lab, beta)) == 4, 15)

            # A site that drains: its work moves to the other and loses nothing.
            mover = self.submit(lab, "mover", 150, "2", "--site", "beta", "--site", "alpha")
            lab.wait("it runs", lambda: self.phase(lab, mover) == "running" and lab.job(mover).get("progress"), 20)
            first = [l for l in lab.view()["leases"] if l["holder"] == mover][0]["slots"][0].split("/")[0]
            lab.weir("site", "drain", first, "--why", "the contract ends")
            other = "alpha" if first == "beta" else "beta"
            lab.wait("it goes on at the other site", lambda: any(
                l["holder"] == mover and l["slots"][0].startswith(other + "/") and l["phase"] == "active"
                for l in lab.view()["leases"]), 40)
            lab.wait("it is done", lambda: self.phase(lab, mover) == "done", 60)
            self.assertEqual(lab.job(mover)["lost_steps"], 0)
            lab.weir("site", "undrain", first)
            self.assertIn(f"{theirs} ", alpha.run("squeue", "-h", "-t", "RUNNING", "-o", "%i "), "theirs ran on")
            alpha.run("scancel", theirs)

            # A job that is cancelled, and one whose site's admin cancels it.
            one = self.submit(lab, "one", 100000, "1", "--site", "alpha")
            lab.wait("it runs", lambda: self.phase(lab, one) == "running" and lab.job(one).get("progress"), 20)
            lab.weir("job", "cancel", "one")
            lab.wait("it is cancelled", lambda: self.phase(lab, one) == "cancelled", 20)

            # Without its site a lab waits; it neither forgets nor starts anything twice.
            keeps = self.submit(lab, "keeps", 200, "2", "--site", "beta")
            lab.wait("it runs", lambda: self.phase(lab, keeps) == "running" and lab.job(keeps).get("progress"), 20)
            beta.stop_controller()
            site = lambda: [s for s in lab.view()["sites"] if s["name"] == "beta"][0]
            lab.wait("the site is unknown", lambda: not site()["reachable"], 30)
            self.assertEqual(self.phase(lab, keeps), "running")
            lab.kill9()
            lab.start()
            self.assertEqual(self.phase(lab, keeps), "running")
            beta.start_controller()
            lab.wait("the site answers", lambda: site()["reachable"], 30)
            lab.wait("it is done", lambda: self.phase(lab, keeps) == "done", 60)
            self.assertEqual(lab.job(keeps)["attempts"], 1, "it never started again")

            with self.assertRaises(Refused):
                lab.request("DELETE", "/api/v1/sites/gamma")
            for name in ("alpha", "beta"):
                lab.weir("site", "remove", name)
            lab.wait("they are gone", lambda: {s["site"] for s in lab.view()["slots"]} == {"local"}, 10)
            self.assertEqual(lab.weir("journal", "verify").returncode, 0)

    def test_2_a_service_at_one_site_and_a_lost_node(self):
        alpha = self.alpha
        with self.lab() as lab:
            self.add(lab, alpha)
            lab.wait("the site is seen", lambda: len(self.usable(lab, alpha)) == 8, 20)
            for slot in [s["id"] for s in lab.view()["slots"] if s["site"] == "local"]:
                lab.weir("slot", "cordon", slot)
            lab.put("/api/v1/teams/product", {"name": "product", "class": "product", "guarantee_slots": 2})
            lab.post("/api/v1/services", {"name": "hello", "team": "product", "command": ["python3", "-c", SERVER],
                                          "min_replicas": 2, "max_replicas": 2, "health_path": "/health"})
            lab.wait("two replicas are ready", lambda: (lab.service("hello") or {}).get("ready") == 2, 60)
            ask = lambda: lab.get("/services/hello/x", raw=True)
            self.assertEqual(ask(), b"hello")
            leases = {l["id"]: l for l in lab.view()["leases"]}
            self.assertTrue(all(l["slots"][0].startswith("alpha/") for l in leases.values()))
            # Slurm takes one away: the other answers, and a new one comes.
            gone = sorted(leases)[0]
            job = [j["JobID"] for j in alpha.jobs("JobID", "Name", "State") if j["Name"].endswith("." + gone) and j["State"] == "RUNNING"][0]
            alpha.run("scancel", job)
            lab.wait("its lease has ended", lambda: gone not in {l["id"] for l in lab.view()["leases"]}, 90)
            self.assertEqual(ask(), b"hello")
            lab.wait("there are two again", lambda: lab.service("hello")["ready"] == 2, 60)
            # A node dies under work: the gang ends as lost and runs again from its checkpoint elsewhere.
            job = self.submit(lab, "gang", 400, "2", "--site", "alpha")
            lab.wait("the gang runs", lambda: self.phase(lab, job) == "running" and lab.job(job).get("checkpoint"), 40)
            node = [l for l in lab.view()["leases"] if l["holder"] == job][0]["slots"][0].split("/")[1]
            alpha.kill_node(node)
            lab.wait("it runs again", lambda: lab.job(job)["attempts"] >= 2 and self.phase(lab, job) == "running", 90)
            alpha.start_node(node)
            lab.wait("it is done", lambda: self.phase(lab, job) == "done", 90)
            self.assertEqual(lab.weir("journal", "verify").returncode, 0)


if __name__ == "__main__":
    if cluster.missing():
        print(f"skipped: not installed: {', '.join(cluster.missing())}")
        sys.exit(0)
    unittest.main()
