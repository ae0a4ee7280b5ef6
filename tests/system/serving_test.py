"""Services of a lab on the real program: which names a request may use, and a smaller version of the
same model that takes over while a surge lasts, without a loan and without a lost request.
"""
import json
import os
import subprocess
import threading
import time
import unittest
import urllib.request

from harness import SHARED, WEIR, Lab, Refused

MODEL = os.path.join(SHARED, "models", "stories260K", "stories260K-f32.gguf")


@unittest.skipUnless(SHARED and os.path.exists(MODEL), "no model to serve: set WEIR_SHARED")
class Serving(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # A replica is said to be worth little, so that a few requests are a surge; research has all
        # that product is not guaranteed, so a loan would be the other way out.
        cls.lab = Lab(["--empty", "--site-slots", "2", "--policy-default-rate-per-replica", "1",
                       "--policy-surge-after", "500ms", "--policy-calm-after", "2s", "--policy-cheaper-wait", "40s"])
        lab = cls.lab.__enter__()
        for team in ("research", "product"):
            lab.weir("team", "put", team, "--class", team, "--guarantee", "1")
        cls.small = os.path.join(lab.data, "small.gguf")

    @classmethod
    def tearDownClass(cls):
        cls.lab.__exit__(None, None, None)

    def weir(self, *words, ok=True):
        done = self.lab.weir(*words, check=False)
        self.assertEqual(done.returncode == 0, ok, f"weir {' '.join(words)}:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def ask(self, model):
        return self.lab.post("/v1/completions", {"model": model, "prompt": "Once upon", "max_tokens": 4, "temperature": 0})

    def test_1_a_model_is_registered_quantized_and_served(self):
        lab = self.lab
        self.weir("model", "quantize", MODEL, self.small, "--type", "Q8_0")
        self.assertIn("tiny@1", self.weir("model", "add", MODEL, "--name", "tiny"))
        self.assertIn("tiny-q8@1", self.weir("model", "add", self.small, "--name", "tiny-q8", "--parent", "tiny@1"))
        self.weir("service", "create", "chat", "--team", "product", "--model", "tiny", "--replicas", "1..2",
                  "--variant", "tiny-q8", "--engine=--ctx=256", "--engine=--parallel=2", "--concurrency", "2")
        lab.wait("the replica serves", lambda: lab.service("chat")["ready"] == 1, 30)

    def test_2_every_name_of_a_service_is_answered_by_its_replica(self):
        for name in ("chat", "tiny", "tiny@1"):
            self.assertTrue(self.ask(name)["choices"], name)
        for name in ("tiny@2", "tiny-q8", "other"):
            with self.assertRaises(Refused, msg=name) as refused:
                self.ask(name)
            self.assertEqual(refused.exception.status, 404, name)

    def test_3_the_engine_shows_its_numbers_and_takes_its_flags(self):
        lab = self.lab
        engine = lab.get("/api/v1/services/chat/engine")
        self.assertEqual((engine["replicas"], engine["max_batch"]), (1, 2))
        self.assertGreaterEqual(engine["generated_tokens"], 12)
        self.assertEqual(engine["ttft"]["count"][-1], 3)
        # Other flags: a new replica takes the old one's place, and nobody notices.
        old = [l["id"] for l in lab.view()["leases"] if l["service"] == "chat"]
        self.weir("service", "update", "chat", "--engine=--parallel=3")
        lab.wait("a replica with the new flags serves", lambda: lab.service("chat")["ready"] == 1 and
                 old != [l["id"] for l in lab.view()["leases"] if l["service"] == "chat"] and
                 len([l for l in lab.view()["leases"] if l["service"] == "chat"]) == 1, 30)
        self.assertEqual(lab.get("/api/v1/services/chat/engine")["max_batch"], 3)

    def test_4_a_surge_is_served_by_the_variant_and_then_the_model_is_back(self):
        lab = self.lab
        train = {"name": "train", "team": "research", "command": ["sleep", "600"], "max_retries": 0}
        lab.post("/api/v1/jobs", train)
        lab.wait("research holds the other slot", lambda: lab.job("train")["phase"] == "running", 20)
        failed, done, over = [], [], threading.Event()

        def client():
            body = json.dumps({"model": "tiny@1", "prompt": "Once", "max_tokens": 220, "ignore_eos": True}).encode()
            while not over.is_set():
                request = urllib.request.Request(lab.url + "/v1/completions", data=body, method="POST")
                request.add_header("Authorization", "Bearer " + lab.key)
                request.add_header("Content-Type", "application/json")
                try:
                    with urllib.request.urlopen(request, timeout=60) as answer:
                        done.append(json.loads(answer.read())["usage"]["completion_tokens"])
                except OSError as error:
                    failed.append(str(error))

        clients = [threading.Thread(target=client) for _ in range(12)]
        for one in clients:
            one.start()
        try:
            def serves(version):
                leases = [l for l in lab.view()["leases"] if l["service"] == "chat"]
                return [l["version"] for l in leases] == [version] and leases[0]["ready"]
            lab.wait("the variant serves", lambda: serves("tiny-q8@1"), 60)
            view = lab.service("chat")
            self.assertEqual((view["service"]["version"], view["own_version"]), ("tiny-q8@1", "tiny@1"))
            self.assertIn("instead of a loan", self.weir("why", "service", "chat"))
            self.assertEqual(lab.view()["loans"], [])
            time.sleep(2)
        finally:
            over.set()
            for one in clients:
                one.join()
        self.assertEqual(failed, [], "no request was lost while replicas were exchanged")
        self.assertEqual(set(done), {220})
        lab.wait("its own version serves again", lambda: serves("tiny@1"), 60)
        self.assertTrue(self.ask("tiny@1")["choices"])

    def test_5_bad_input_is_refused_in_a_sentence(self):
        create = ("service", "create", "s", "--team", "product")
        for words, sentence in (
                ((*create, "--model", "tiny", "--variant", "none-such"), 'variants[0]: no model or version is called "none-such"'),
                ((*create, "--model", "tiny", "--variant", "tiny@1"), "tiny@1 is the service's own version"),
                ((*create, "--model", "tiny", "--engine=ctx=5"), "is not a flag such as --ctx=8192"),
                ((*create, "--model", "tiny", "--engine=--name=x"), "--name is the lab's to say"),
                ((*create, "--engine=--ctx=5", "--", "sleep", "1"), "a command is given"),
                ((*create, "--variant", "tiny-q8", "--", "sleep", "1"), "variants: of which model?"),
                (("model", "add", "/nowhere", "--name", "x"), "/nowhere"),
                (("model", "add", __file__, "--name", "x"), "serving_test.py"),
                (("model", "add", MODEL, "--name", "a b"), 'model: "a b" is not a name'),
                (("model", "add", MODEL, "--name", "x", "--parent", "y@1"), 'parent: no model or version is called "y@1"'),
                (("service", "update", "chat", "--variant", "none", "--variant", "tiny-q8"), "takes all away")):
            self.assertIn(sentence, self.weir(*words, ok=False))
        with self.assertRaises(Refused) as refused:
            self.lab.get("/api/v1/services/none/engine")
        self.assertEqual(refused.exception.status, 404)


if __name__ == "__main__":
    unittest.main(verbosity=2)
