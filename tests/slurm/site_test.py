"""One lab over two real Slurm clusters, as two providers: weir and Slurm are the real programs.

What is checked against Slurm's own word (squeue, the record of completed jobs) as well as the lab's journal:
nothing runs twice, every job ends once, slots are held by one, and what others run is left alone.
"""
import calendar
import contextlib
import getpass
import json
import os
import subprocess
import sys
import threading
import time
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
import http.server, os, time
class H(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def answer(self):
        body = b'hello'
        if self.path.endswith("x"): time.sleep(float(os.environ.get("DELAY", "0")))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    do_GET = answer
http.server.ThreadingHTTPServer((os.environ["WEIR_HOST"], int(os.environ["WEIR_PORT"])), H).serve_forever()
"""


class Clients:
    """So many clients that ask one after the other until the block ends."""

    def __init__(self, lab, count):
        self.lab, self.done, self.refused, self.broken, self.over = lab, 0, [], [], threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(count)]

    def ask(self):
        while not self.over.is_set():
            try:
                self.lab.get("/services/hello/x", raw=True)
                self.done += 1
            except Refused as refused:
                self.refused.append((refused.status, {k.lower() for k in refused.headers}, refused.body))
                self.over.wait(0.1)
            except OSError as error:
                self.broken.append(str(error))
                self.over.wait(0.1)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        for thread in self.threads:
            thread.join()


class SiteTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.clusters = Clusters("alpha:2x4", "beta:2x2")
        cls.alpha, cls.beta = cls.clusters["alpha"], cls.clusters["beta"]

    @classmethod
    def tearDownClass(cls):
        cls.clusters.__exit__()

    @contextlib.contextmanager
    def lab(self, *flags):
        with Lab(["--empty", "--site-slots", "2", "--log-level", "info", *flags]) as lab:
            lab.put("/api/v1/teams/research", {"name": "research", "class": "research", "guarantee_slots": 1})
            lab.put("/api/v1/teams/product", {"name": "product", "class": "product", "guarantee_slots": 1})
            try:
                yield lab
            finally:  # what a test that failed leaves would hold the next one up
                lab.kill9()
                for site in (self.alpha, self.beta):
                    site.run("scancel", "-u", getpass.getuser(), check=False)
                    with contextlib.suppress(AssertionError):
                        wait("its queue is empty", lambda s=site: not s.run("squeue", "-h", "-t", "R,PD,CG", check=False).strip(), 20)

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

    def check_invariants(self, lab, *sites):
        """Those of DESIGN.md, by the journal and by what Slurm itself recorded of this lab's jobs."""
        self.assertEqual(lab.weir("journal", "verify").returncode, 0)
        journal = lab.journal()
        leases = {r["subjects"][0]: r["body"]["lease"] for r in journal if r["type"] == "lease.intended"}
        for types in (("job.done", "job.failed", "job.cancelled"), ("lease.ended",)):
            ends = [r["subjects"][0] for r in journal if r["type"] in types]
            self.assertEqual(len(ends), len(set(ends)), f"each ends once: {types[0]}")
        for loan in lab.view()["loans"]:
            self.assertEqual(loan["phase"], "returned")
            self.assertLessEqual(loan["returned_us"], loan["due_us"])
        with open(os.path.join(lab.data, "lab.tag"), encoding="utf-8") as f:
            prefix = f"weir.{f.read().strip()}."
        by_slot, by_gang, runs = {}, {}, 0
        for site in sites:
            # A controller that died with its site may record an end once more.
            rows = list({r["JobId"]: r for r in site.accounting() if r.get("Name", "").startswith(prefix)}.values())
            names = [r["Name"] for r in rows]
            self.assertEqual(len(names), len(set(names)), f"one Slurm job for each lease at {site.name}")
            for row in rows:
                lease = leases.get(row["Name"][len(prefix):])
                self.assertIsNotNone(lease, f"Slurm ran {row['Name']}, which no lease intended")
                if row["NodeList"] in ("(null)", ""):
                    continue  # it never began
                nodes = site.run("scontrol", "show", "hostnames", row["NodeList"]).split()
                self.assertEqual(sorted(nodes), sorted({s.split("/")[1] for s in lease["slots"]}), "on exactly its nodes")
                began, ended = (calendar.timegm(time.strptime(row[t], "%Y-%m-%dT%H:%M:%S")) for t in ("StartTime", "EndTime"))
                runs += 1
                for slot in lease["slots"]:
                    by_slot.setdefault(slot, []).append((began, ended, lease["id"]))
                if lease["holder_kind"] == "job":
                    by_gang.setdefault((site.name, lease["holder"]), []).append((began, ended, lease["id"]))
        for what, spans in {**by_slot, **by_gang}.items():
            for a, b in zip(sorted(spans), sorted(spans)[1:]):
                # Whole seconds, and a run's own last word may come a moment before Slurm's.
                self.assertGreaterEqual(b[0] + 1, a[1], f"{what} was held twice at once: {a} and {b}")
        return runs

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

    def test_3_a_surge_borrows_across_sites_and_a_whole_site_is_lost(self):
        alpha, beta = self.alpha, self.beta
        with self.lab("--policy-surge-after", "500ms", "--policy-calm-after", "3s", "--policy-min-run", "0s",
                      "--policy-grow-after", "2s", "--policy-default-rate-per-replica", "4") as lab:
            for slot in [s["id"] for s in lab.view()["slots"] if s["site"] == "local"]:
                lab.weir("slot", "cordon", slot)
            self.add(lab, alpha, "--provider", "acme", "--price", "2.5")
            self.add(lab, beta, "--provider", "brava", "--price", "1.5", "--lost-after", "8s")
            lab.wait("both sites are seen", lambda: len(self.usable(lab, alpha)) == 8 and len(self.usable(lab, beta)) == 4, 30)
            lab.put("/api/v1/teams/product", {"name": "product", "class": "product", "guarantee_slots": 2})
            lab.put("/api/v1/teams/research", {"name": "research", "class": "research", "guarantee_slots": 6})
            held = lambda job: (lab.job(job) or {}).get("slots", 0)

            # A gang of at least four ranks at one site, serving at the other; no slot is idle.
            gang = self.submit(lab, "gang", 100000, "4..8", "--site", "alpha")
            other = self.submit(lab, "other", 100000, "2", "--site", "beta")
            lab.wait("research runs at both", lambda: held(gang) == 8 and held(other) == 2 and
                     all(self.phase(lab, j) == "running" and lab.job(j).get("checkpoint") for j in (gang, other)), 60)
            lab.post("/api/v1/services", {"name": "hello", "team": "product", "command": ["python3", "-c", SERVER],
                                          "env": {"DELAY": "0.25"}, "min_replicas": 2, "max_replicas": 4, "max_concurrency": 2,
                                          "health_path": "/health", "grace_us": 3000000})
            replicas = lambda: [l for l in lab.view()["leases"] if l["service"] == "hello" and l["phase"] == "active"]
            at = lambda site: [l for l in replicas() if l["slots"][0].startswith(site + "/")]
            lab.wait("both replicas are ready, at beta", lambda: len([l for l in at("beta") if l["ready"]]) == 2, 60)

            # A surge at beta borrows from research at alpha; weir dies as the loan opens.
            with Clients(lab, 12) as clients:
                lab.wait("a loan opens", lambda: lab.view()["loans"], 60)
                lab.kill9()
                lab.start()
                lab.wait("a replica on loan serves at alpha", lambda: any(l["loan"] and l["ready"] for l in at("alpha")), 90)
                lab.wait("the gang goes on, smaller", lambda: self.phase(lab, gang) == "running" and 4 <= held(gang) < 8, 60)
                lab.wait("they answer", lambda before=clients.done: clients.done > before + 20, 30)
            self.assertEqual([r for r in clients.refused if r[0] not in (429, 503) or "retry-after" not in r[1]], [],
                             "refused only with a word of when to come back")
            lab.wait("the loan is back", lambda: all(l["phase"] == "returned" for l in lab.view()["loans"]), 60)
            lab.wait("the gang runs", lambda: self.phase(lab, gang) == "running", 60)
            self.assertEqual(lab.job(gang)["lost_steps"], 0, "it saved each time")

            # A whole site is lost: traffic moves, by policy its work is lost, and research makes room.
            beta.lose_all()
            lab.kill9()
            lab.start()
            lab.wait("the floor is met at alpha", lambda: len([l for l in at("alpha") if l["ready"]]) == 2 and not at("beta"), 120)
            with Clients(lab, 2) as clients:
                lab.wait("all is answered", lambda: clients.done >= 20, 30)
            self.assertEqual(clients.refused + clients.broken, [])
            lab.wait("by the site's policy its job is lost too", lambda: self.phase(lab, other) != "running", 60)
            site = [s for s in lab.view()["sites"] if s["name"] == "beta"][0]
            self.assertFalse(site["reachable"])
            beta.start_all()
            lab.wait("it is back, and its job goes on", lambda: self.phase(lab, other) == "running", 90)
            self.assertGreater(lab.job(other)["progress"]["step"], 10)

            # The end: everything is withdrawn, and Slurm holds nothing of the lab.
            for job in ("gang", "other"):
                lab.weir("job", "cancel", job)
            lab.weir("service", "retire", "hello")
            lab.wait("nothing is held", lambda: not lab.view()["leases"], 60)
            queued = lambda: alpha.run("squeue", "-h", "-t", "R,PD") + beta.run("squeue", "-h", "-t", "R,PD")
            with contextlib.suppress(AssertionError):
                wait("Slurm holds nothing", lambda: not queued().strip(), 30)
            self.assertEqual(queued(), "")
            self.assertGreater(self.check_invariants(lab, alpha, beta), 8)

    @unittest.skipUnless(os.environ.get("WEIR_SLURM_STORY"), "by hand, until it holds on a busy machine: WEIR_SLURM_STORY=1")
    def test_4_what_is_away_or_broken_has_its_stated_outcome(self):
        """The table of docs/guides/slurm-site.md, row by row."""
        alpha = self.alpha
        with self.lab() as lab:
            self.add(lab, alpha, "--start-within", "15s")
            lab.wait("the site is seen", lambda: len(self.usable(lab, alpha)) == 8, 30)
            site = lambda: [s for s in lab.view()["sites"] if s["name"] == "alpha"][0]

            # The controller restarts in the middle of submissions: each starts once.
            work = [self.submit(lab, f"w{i}", 5, "1", "--site", "alpha") for i in range(4)]
            alpha.kill_controller()
            alpha.start_controller()
            lab.wait("all are done", lambda: all(self.phase(lab, w) == "done" for w in work), 90)

            # munge is gone: unknown, not empty. What runs goes on, and nothing starts twice.
            runs = self.submit(lab, "runs", 300, "2", "--site", "alpha")
            lab.wait("it runs", lambda: self.phase(lab, runs) == "running" and lab.job(runs).get("progress"), 40)
            alpha.stop_munge()
            lab.wait("the site is unknown", lambda: not site()["reachable"], 40)
            waits = self.submit(lab, "waits", 5, "1", "--site", "alpha")
            alpha.start_munge()
            lab.wait("the site answers", lambda: site()["reachable"], 40)
            lab.wait("both are done", lambda: all(self.phase(lab, j) == "done" for j in (runs, waits)), 90)
            self.assertEqual([lab.job(j)["attempts"] for j in (runs, waits)], [1, 1])

            # A run ends while weir is away, and Slurm has forgotten it since: its files say how.
            ended = self.submit(lab, "ended", 20, "1", "--site", "alpha")
            lab.wait("it runs", lambda: self.phase(lab, ended) == "running", 40)
            lab.kill9()
            wait("it has ended", lambda: not alpha.run("squeue", "-h", "-t", "R,PD,CG").strip(), 30)
            alpha.controller_forgets()
            lab.start()
            lab.wait("it is done", lambda: self.phase(lab, ended) == "done", 60)
            self.assertEqual(lab.job(ended)["attempts"], 1)

            # A spool is full: the node takes nothing, the work goes to another.
            alpha.break_spool(alpha.nodes[0])
            moved = [self.submit(lab, f"m{i}", 5, "1", "--site", "alpha") for i in range(5)]  # more than one node has
            lab.wait("all are done", lambda: all(self.phase(lab, m) == "done" for m in moved), 120)
            alpha.mend_spool(alpha.nodes[0])
            alpha.run("scontrol", "update", f"nodename={alpha.nodes[0]}", "state=resume", check=False)
            self.assertEqual(lab.weir("journal", "verify").returncode, 0)
            done = [r["subjects"][0] for r in lab.journal() if r["type"] == "job.done"]
            self.assertEqual(sorted(done), sorted(set(done)))

    @unittest.skipUnless(os.environ.get("WEIR_AS_SIMULATED") and os.environ.get("WEIR_SLURM_STORY"),
                         "by hand: WEIR_SLURM_STORY=1, and WEIR_AS_SIMULATED names as_simulated_test")
    def test_5_the_simulated_site_tells_the_same_story(self):
        done = subprocess.run([os.environ["WEIR_AS_SIMULATED"]], env=self.alpha.env, capture_output=True, text=True,
                              timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    if cluster.missing():
        print(f"skipped: not installed: {', '.join(cluster.missing())}")
        sys.exit(0)
    unittest.main()
