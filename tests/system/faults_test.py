"""Bad luck and bad input on the real program: each has a stated outcome, and this is where it is held.

docs/operator.md names the outcomes; every test here is one of its lines.
"""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from harness import SOURCE, WEIR, Lab, Refused, sentence


def run(*args, env=None, timeout=30):
    return subprocess.run([WEIR, *args], capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})})


class Start(unittest.TestCase):
    def test_a_second_one_says_who_holds_the_folder(self):
        with Lab(["--empty"]) as lab:
            second = run("up", "--data", lab.data, "--listen", "127.0.0.1:0", "--empty")
            self.assertEqual(second.returncode, 6)
            self.assertIn(str(lab.process.pid), sentence(second.stderr))

    def test_no_thread_but_the_one_that_waits_for_it_takes_sigterm(self):
        """A thread that a library starts before main() would take it too, and end the lab undrained."""
        with Lab(["--empty"]) as lab:
            takers = 0
            for task in os.listdir(f"/proc/{lab.process.pid}/task"):
                with open(f"/proc/{lab.process.pid}/task/{task}/status", encoding="ascii") as f:
                    blocked = next(int(line.split()[1], 16) for line in f if line.startswith("SigBlk"))
                takers += not blocked >> (signal.SIGTERM - 1) & 1
            self.assertEqual(takers, 1)

    def test_a_taken_port_is_said_and_nothing_is_left_behind(self):
        with socket.socket() as taken, tempfile.TemporaryDirectory() as data:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = run("up", "--data", data, "--listen", f"127.0.0.1:{port}", "--empty")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(str(port), done.stderr)
            self.assertIn("choose another port", done.stderr)

    def test_bad_flags_and_files_get_one_sentence(self):
        with tempfile.TemporaryDirectory() as d:
            bad = os.path.join(d, "bad.toml")
            with open(bad, "w", encoding="utf-8") as f:
                f.write("[site]\nslotz = 3\n")
            empty = os.path.join(d, "empty")
            os.mkdir(empty)
            cases = [
                (("up", "--nonsense"), 2, "nonsense"),
                (("nonsense",), 2, "nonsense"),
                (("up", "--site-slots", "many"), 2, "whole number"),
                (("up", "--site-slots", "100000"), 2, "out of range"),
                (("up", "--config", os.path.join(d, "none.toml")), 4, "none.toml"),
                (("up", "--config", bad), 2, "slotz"),
                (("up", "--data", d + "/x", "--text", os.path.join(d, "none")), 4, "none"),
                (("dataset", "build", "--text", empty, "--out", os.path.join(d, "o")), 2, "no text"),
                (("serve", os.path.join(d, "no-model")), 4, "no-model"),
                (("serve", bad, "--listen", "127.0.0.1:0"), None, "bad.toml"),
                (("train", "--text", os.path.join(d, "none.txt"), "--out", os.path.join(d, "c")), None, "none.txt"),
                (("status", "--url", "http://127.0.0.1:1", "--data", d), 8, "127.0.0.1:1"),
            ]
            for args, status, words in cases:
                with self.subTest(args=args[:2]):
                    done = run(*args)
                    if status is None:
                        self.assertNotEqual(done.returncode, 0)
                    else:
                        self.assertEqual(done.returncode, status, done.stderr)
                    self.assertIn(words, sentence(done.stderr))

    def test_a_read_only_folder_is_refused_in_a_sentence(self):
        done = run("up", "--data", "/proc/weir", "--listen", "127.0.0.1:0", "--empty")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/proc/weir", sentence(done.stderr))


    def test_a_model_that_is_damaged_is_refused_by_its_name(self):
        with tempfile.TemporaryDirectory() as d:
            whole = os.path.join(d, "whole")
            text = os.path.join(d, "text.txt")
            with open(text, "w", encoding="utf-8") as f:
                f.write("the river rises over the weir and falls on the other side\n" * 400)
            made = run("train", "--text", text, "--out", whole, "--steps", "1", "--vocab", "300", "--preset", "tiny", timeout=60)
            self.assertEqual(made.returncode, 0, made.stderr)
            checkpoint = os.path.join(whole, sorted(n for n in os.listdir(whole) if n.startswith("step-"))[-1])
            weights = os.path.join(checkpoint, "model.safetensors")
            with open(weights, "rb") as f:
                good = f.read()
            header = int.from_bytes(good[:8], "little")
            cases = [
                (good[:len(good) // 2], "model.safetensors"),  # cut in the middle
                (good[:8] + b"x" * header + good[8 + header:], "model.safetensors"),  # no JSON
                (b"\xff" * 8 + good[8:], "model.safetensors"),  # a header longer than any file
                (good[:-4] + b"\x00\x00\xc0\x7f", "NaN"),
            ]
            for damaged, words in cases:
                with self.subTest(words=words, size=len(damaged)):
                    with open(weights, "wb") as f:
                        f.write(damaged)
                    done = run("serve", checkpoint, "--listen", "127.0.0.1:0")
                    self.assertNotEqual(done.returncode, 0)
                    self.assertIn(words.lower(), sentence(done.stderr).lower())


class Work(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(["--empty", "--site-slots", "4"])
        cls.lab.__enter__()
        cls.lab.put("/api/v1/teams/" + "research", {"name": "research", "class": "research", "guarantee_slots": 3})
        cls.lab.put("/api/v1/teams/" + "product", {"name": "product", "class": "product", "guarantee_slots": 1})

    @classmethod
    def tearDownClass(cls):
        cls.lab.__exit__(None, None, None)

    def submit(self, name, command, **more):
        return self.lab.post("/api/v1/jobs", {"name": name, "team": "research", "command": command, "max_retries": 0, **more})

    def ends(self, name, phase, seconds=30):
        self.lab.wait(f"{name} is {phase}", lambda: self.lab.job(name)["phase"] == phase, seconds)
        return self.lab.job(name)

    def test_a_failure_keeps_its_reason_and_last_lines(self):
        self.submit("fails", ["/bin/sh", "-c", "echo the disk of my mind is full; exit 3"])
        job = self.ends("fails", "failed")
        self.assertEqual(job["exit_code"], 3)
        self.assertIn("the disk of my mind is full", " ".join(job["last_lines"]))
        out = self.lab.weir("why", "job", "fails").stdout
        self.assertIn("exit 3", out)

    def test_a_program_that_is_not_there_fails_with_its_name(self):
        self.submit("nowhere", ["/no/such/program"])
        job = self.ends("nowhere", "failed")
        self.assertIn("/no/such/program", job["reason"] + " ".join(job["last_lines"]))

    def test_retries_with_back_off_then_fails(self):
        self.submit("again", ["/bin/sh", "-c", "exit 4"], max_retries=1)
        job = self.ends("again", "failed", 60)
        self.assertEqual(job["attempts"], 2)

    def test_a_trainer_that_ignores_sigterm_is_killed_after_its_grace(self):
        self.submit("deaf", ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], grace_us=1_000_000)
        self.ends("deaf", "running")
        self.lab.wait("it is deaf", lambda: "ready" in self.lab.weir("job", "logs", "deaf").stdout, 20)
        began = time.monotonic()
        self.lab.post(f"/api/v1/jobs/{self.lab.job('deaf')['id']}/cancel")
        self.ends("deaf", "cancelled", 20)
        self.assertGreater(time.monotonic() - began, 0.5)

    def test_time_and_memory_limits_are_kept_and_named(self):
        self.submit("slow", ["/bin/sleep", "60"], time_limit_us=500_000, grace_us=500_000)
        self.assertIn("time limit", self.ends("slow", "failed")["reason"])
        self.submit("fat", ["/usr/bin/python3", "-c", "import time\nx = bytearray(300 << 20)\ntime.sleep(30)"],
                    memory_limit_bytes=100 << 20)
        self.assertIn("memory", self.ends("fat", "failed")["reason"])

    def test_the_example_job_is_done_with_progress(self):
        self.submit("example", ["/usr/bin/python3", os.path.join(SOURCE, "examples", "train.py"), "30"], checkpointable=True,
                    max_slots=2)
        job = self.ends("example", "done", 40)
        self.assertEqual(job["progress"]["step"], 30)
        logs = self.lab.weir("job", "logs", "example").stdout
        self.assertIn("done, y =", logs)

    def test_bad_bodies_get_a_problem_with_the_field(self):
        good = {"name": "n", "team": "research", "command": ["true"]}
        cases = [
            ({**good, "slots": 2}, 400, "slots"),
            ({**good, "min_slots": 5, "max_slots": 4}, 400, "min_slots"),
            ({**good, "min_slots": 64, "max_slots": 64}, 400, "64"),
            ({**good, "team": "nobody"}, None, "nobody"),
            ({**good, "name": "../x"}, 400, "name"),
            ({**good, "command": []}, 400, "command"),
            (b"{\"name\": \"\xff\"}", 400, "JSON"),
            (b"{", 400, "JSON"),
            (b"x" * (9 << 20), 413, "large"),
        ]
        for body, status, words in cases:
            with self.subTest(words=words):
                with self.assertRaises(Refused) as refused:
                    self.lab.post("/api/v1/jobs", body)
                if status:
                    self.assertEqual(refused.exception.status, status, refused.exception.body)
                self.assertIn(words.lower(), json.dumps(refused.exception.body).lower())

    def test_a_bad_key_is_refused_and_a_member_may_not_touch_other_teams(self):
        with self.assertRaises(Refused) as refused:
            self.lab.get("/api/v1/lab", key="weir_wrong")
        self.assertEqual(refused.exception.status, 401)
        made = self.lab.post("/api/v1/keys", {"name": "m1", "role": "member", "team": "product"})
        secret = made.get("secret") or made["key"]["secret"]
        with self.assertRaises(Refused) as refused:
            self.lab.post("/api/v1/jobs", {"name": "x", "team": "research", "command": ["true"]}, key=secret)
        self.assertEqual(refused.exception.status, 403)

    def test_a_name_that_is_taken_is_said(self):
        self.submit("once", ["/bin/sleep", "30"])
        with self.assertRaises(Refused) as refused:
            self.submit("once", ["true"])
        self.assertEqual(refused.exception.status, 409)
        self.assertIn("once", json.dumps(refused.exception.body))
        self.lab.post(f"/api/v1/jobs/{self.lab.job('once')['id']}/cancel")
        self.ends("once", "cancelled")

    def test_an_expired_key_is_refused_everywhere(self):
        made = self.lab.post("/api/v1/keys", {"name": "brief", "role": "admin", "expires_in_us": 1_000_000})
        secret = made.get("secret") or made["key"]["secret"]
        self.assertIn("teams", self.lab.get("/api/v1/lab", key=secret))
        time.sleep(1.05)
        for path in ("/api/v1/lab", "/v1/models"):
            with self.subTest(path=path), self.assertRaises(Refused) as refused:
                self.lab.get(path, key=secret)
            self.assertEqual(refused.exception.status, 401)
            self.assertIn("expired", json.dumps(refused.exception.body))

    def test_a_thousand_idle_connections_and_slow_clients_hold_nobody_up(self):
        host, port = self.lab.url.removeprefix("http://").split(":")
        with contextlib.ExitStack() as stack:
            crowd = [stack.enter_context(socket.create_connection((host, int(port)), timeout=10)) for _ in range(1000)]
            for slow in crowd[:20]:
                slow.sendall(b"GET /api/v1/lab HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            began = time.monotonic()
            while time.monotonic() - began < 14:  # more than the time for a head
                for slow in crowd[:20]:
                    with contextlib.suppress(OSError):
                        slow.sendall(b"a")
                asked = time.monotonic()
                self.lab.get("/api/v1/lab")
                self.assertLess(time.monotonic() - asked, 5)
                time.sleep(1)
            for slow in crowd[:20]:
                slow.settimeout(10)
                with contextlib.suppress(OSError):
                    answer = slow.recv(4096)
                    self.assertIn(b" 408 ", answer[:20] or b" 408 ")

    def test_a_replica_that_dies_or_hangs_is_replaced(self):
        server = os.path.join(self.lab.data, "replica.py")
        with open(server, "w", encoding="utf-8") as f:
            f.write("import http.server, os, time\n"
                    "class H(http.server.BaseHTTPRequestHandler):\n"
                    "    def do_GET(self):\n"
                    "        if os.path.exists(os.environ['HANG'] + '.' + str(os.getpid())): time.sleep(600)\n"
                    "        self.send_response(200); self.end_headers(); self.wfile.write(str(os.getpid()).encode())\n"
                    "    def log_message(self, *a): pass\n"
                    "http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['WEIR_PORT'])), H).serve_forever()\n")
        hang = os.path.join(self.lab.data, "hang")
        self.lab.post("/api/v1/services", {"name": "web", "team": "product", "command": ["/usr/bin/python3", server],
                                           "env": {"HANG": hang}, "min_replicas": 1, "max_replicas": 1, "grace_us": 1_000_000})
        ready = lambda: self.lab.service("web")["ready"] == 1
        self.lab.wait("the replica is ready", ready, 30)
        def pid():
            port = next(l["port"] for l in self.lab.view()["leases"] if l["service"] == "web" and l["ready"])
            import urllib.request
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                return int(answer.read())
        first = pid()
        os.kill(first, signal.SIGKILL)
        self.lab.wait("another one is ready after a death", lambda: ready() and pid() != first, 60)
        second = pid()
        open(f"{hang}.{second}", "w", encoding="utf-8").close()
        self.lab.wait("another one is ready after a hang", lambda: ready() and pid() not in (first, second), 90)
        self.lab.post(f"/api/v1/services/{self.lab.service('web')['service']['id']}/retire")
        self.lab.wait("it is retired", lambda: self.lab.service("web") is None, 30)


class Curve(unittest.TestCase):
    """A job that lends its slots and gets them back learns what it would have learned undisturbed."""

    STEPS = 400

    def losses(self, path):
        """Training loss by step; of a step made again after a pause, the newest."""
        with open(path, encoding="utf-8") as f:
            lines = [json.loads(line) for line in f]
        return {line["step"]: line["loss"] for line in lines if "loss" in line and "step" in line}

    def test_lending_slots_leaves_the_loss_curve_as_it_is(self):
        with tempfile.TemporaryDirectory() as d, Lab(["--empty", "--site-slots", "4"]) as lab:
            text = os.path.join(d, "text.txt")
            with open(os.path.join(SOURCE, "docs", "formats.md"), encoding="utf-8") as f:
                words = f.read()
            with open(text, "w", encoding="utf-8") as f:
                f.write(words * 3)
            train = [WEIR, "train", "--text", text, "--preset", "tiny", "--vocab", "400", "--steps", str(self.STEPS),
                     "--seed", "7", "--checkpoint-interval", "1s", "--eval-every", "25"]
            lab.put("/api/v1/teams/research", {"name": "research", "class": "research", "guarantee_slots": 1})
            lab.put("/api/v1/teams/product", {"name": "product", "class": "product", "guarantee_slots": 3})
            lab.post("/api/v1/jobs", {"name": "learns", "team": "research", "command": train, "min_slots": 1, "max_slots": 4,
                                      "checkpointable": True, "checkpoint_interval_us": 1_000_000})
            job = lambda: lab.job("learns")
            step = lambda: (job().get("progress") or {}).get("step", 0)
            slots = lambda: sum(len(l["slots"]) for l in lab.view()["leases"] if l["holder"] == job()["id"])
            lab.wait("it trains on all slots", lambda: step() > 40 and slots() == 4, 60)
            lab.post("/api/v1/services", {"name": "web", "team": "product", "min_replicas": 3, "max_replicas": 3, "grace_us": 1_000_000,
                                          "command": ["/bin/sh", "-c", 'exec python3 -m http.server --bind 127.0.0.1 "$WEIR_PORT"']})
            lab.wait("it goes on with one", lambda: slots() == 1 and job()["phase"] == "running", 40)
            at_one = step()
            lab.wait("it learns meanwhile", lambda: step() > at_one + 20, 60)
            lab.post(f"/api/v1/services/{lab.service('web')['service']['id']}/retire")
            lab.wait("it is done", lambda: job()["phase"] == "done", 120)
            self.assertGreaterEqual(job()["attempts"], 2)
            disturbed = self.losses(os.path.join(job()["folder"], "progress.jsonl"))
            alone = os.path.join(d, "alone.jsonl")
            done = run(*train[1:], "--out", os.path.join(d, "out"), "--quiet", env={"WEIR_PROGRESS_FILE": alone}, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            undisturbed = self.losses(alone)
            both = sorted(set(disturbed) & set(undisturbed))
            apart = max(abs(disturbed[s] - undisturbed[s]) for s in both)
            print(f"{job()['attempts']} runs, {len(both)} steps told by both, largest difference of the loss {apart:.2g}", flush=True)
            self.assertGreater(len(both), 5)
            self.assertIn(self.STEPS, both)
            self.assertLess(apart, 0.02)


class Disk(unittest.TestCase):
    def test_a_full_disk_stops_acknowledging_and_says_so_then_recovers(self):
        mount = tempfile.mkdtemp()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", mount], capture_output=True).returncode != 0:
            self.skipTest("needs the right to mount a small tmpfs")
        try:
            with Lab(["--empty"], data=os.path.join(mount, "d")) as lab:
                lab.put("/api/v1/teams/" + "research", {"name": "research", "class": "research"})
                filler = os.path.join(mount, "filler")
                with contextlib.suppress(OSError), open(filler, "wb") as f:
                    while True:
                        f.write(b"x" * 65536)
                        f.flush()
                acknowledged = []
                refused = None
                for i in range(2000):
                    try:
                        acknowledged.append(lab.put("/api/v1/teams/" + f"t{i}", {"name": f"t{i}", "class": "research"})["name"])
                    except Refused as e:
                        refused = e
                        break
                self.assertIsNotNone(refused, "a full disk must be said")
                self.assertIn(refused.status, (429, 503, 507))
                lab.wait("the view says so", lambda: "disk" in lab.view()["trouble"].lower(), 10)
                os.unlink(filler)
                def works():
                    with contextlib.suppress(Refused):
                        return lab.put("/api/v1/teams/" + "after", {"name": "after", "class": "research"})
                lab.wait("it recovers by itself", works, 30, every=0.5)
                names = {t["name"] for t in lab.view()["teams"]}
                self.assertTrue(set(acknowledged) <= names)
                lab.kill9()
                lab.start()
                names = {t["name"] for t in lab.view()["teams"]}
                self.assertTrue(set(acknowledged) | {"after"} <= names, "nothing acknowledged was lost")
        finally:
            subprocess.run(["umount", "-l", mount], check=False)


if __name__ == "__main__":
    unittest.main(verbosity=2)
