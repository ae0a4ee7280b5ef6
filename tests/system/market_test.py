"""The book of a running lab: every command of the market on it, the ledger of its journal, a plan that it
feeds and holds, and all of it after kill -9.
"""
import csv
import io
import json
import os
import threading
import unittest

from harness import Lab, Refused

PLAN = """
contracts = "lab:contracts"
offers = "lab:offers"
[plan]
start = "{start}"
months = 12
scenarios = 8
[[pool]]
name = "h100"
accelerator = "h100"
on_demand = "$4/h"
on_demand_limit = 64
[[demand]]
name = "chat"
class = "product"
runs_on = {{ h100 = 1 }}
value = "$9/h"
{level}
"""


class Market(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(["--empty", "--site-slots", "4"])
        lab = cls.lab.__enter__()
        lab.weir("team", "put", "research", "--class", "research")
        cls.today = lab.get("/api/v1/book")["today"]

    @classmethod
    def tearDownClass(cls):
        cls.lab.__exit__(None, None, None)

    def weir(self, *words, ok=True):
        done = self.lab.weir(*words, check=False)
        self.assertEqual(done.returncode == 0, ok, f"weir {' '.join(words)}:\n{done.stdout}{done.stderr}")
        return done.stdout if ok else done.stderr

    def json(self, *words):
        return json.loads(self.weir(*words, "--json"))

    def test_1_offers_and_contracts_of_the_lab_by_command(self):
        year = int(self.today[:4])
        table = io.StringIO()
        rows = csv.writer(table)
        rows.writerow(["provider", "name", "accelerator", "quantity", "lot", "price", "term_months", "expires", "take_or_pay"])
        for i in range(3000):  # more than one record of the journal
            rows.writerow(["northern", f"q-{i}", "h100-sxm", 8 * (1 + i % 4), 4, f"${2 + i / 1000:.3f}/h", 12, f"{year + 1}-12-31", "80%"])
        path = os.path.join(self.lab.data, "quotes.csv")
        with open(path, "w", encoding="utf-8") as f:
            f.write(table.getvalue())
        self.assertEqual(self.json("offer", "import", path, "--lab")["added"], 3000)
        self.assertEqual(len(self.lab.get("/api/v1/offers")["items"]), 3000)
        self.assertEqual(self.json("offer", "compare", "--lab", "--top", "2")["compared"], 3000)
        self.weir("offer", "decline", "offer-7", "--why", "too dear", "--lab")
        drafted = self.json("offer", "accept", "offer-1", "--quantity", "4", "--site", "local", "--lab")
        self.assertEqual(drafted["id"], "contract-3001")
        self.weir("contract", "sign", "contract-3001", "--lab")
        self.weir("contract", "deliver", "contract-3001", "4", "--lab")
        self.assertEqual(self.json("contract", "show", "contract-3001", "--lab")["phase"], "active")
        self.weir("spend", "set-budget", "research", "900", "--from", self.today[:7], "--to", f"{year + 1}-12", "--lab")
        self.assertFalse(os.path.exists(os.path.join(self.lab.data, "market.json")), "no file stands beside the lab's book")
        page = self.lab.get("/api/v1/market")
        self.assertEqual([c["view"]["phase"] for c in page["contracts"]], ["active"])
        self.assertEqual(page["offers_open"], 2998)
        self.assertEqual(len(page["offers"]), 12)

    def test_2_bad_words_are_refused_with_the_next_step(self):
        for words, wanted in [
            (["offer", "list", "--lab", "--book", "x.json"], "--book"),
            (["offer", "list", "--url", "http://127.0.0.1:1"], "127.0.0.1:1"),
            (["contract", "sign", "contract-9", "--lab"], "contract-9"),
            (["offer", "add", "--lab", "--provider", "a", "--accelerator", "h10", "--price", "$2/h", "--list-price", "yes"], "h100"),
            (["spend", "ledger", "--lab", "--from", "2027-13"], "2027-13"),
            (["spend", "ledger"], "--lab"),
        ]:
            with self.subTest(words=words):
                self.assertIn(wanted, self.weir(*words, ok=False))

    def test_3_two_who_change_the_book_at_once_lose_nothing(self):
        before = self.lab.get("/api/v1/book")["book"]["last_number"]
        told = []

        def add(i):
            done = self.lab.weir("offer", "add", "--lab", "--provider", "twin", "--name", f"t-{i}", "--accelerator", "h100",
                                 "--price", "$3/h", "--list-price", "yes", check=False)
            told.append((done.returncode, done.stderr))

        threads = [threading.Thread(target=add, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        done = sum(code == 0 for code, _ in told)
        self.assertGreater(done, 0)
        self.assertEqual(self.lab.get("/api/v1/book")["book"]["last_number"], before + done)
        for code, said in told:
            if code != 0:
                self.assertIn("changed by somebody else", said)

    def test_4_the_ledger_is_the_journals(self):
        lab = self.lab
        job = lab.post("/api/v1/jobs", {"name": "a", "team": "research", "command": ["sleep", "1.2"], "min_slots": 2, "max_slots": 2})
        lab.wait("the job is done", lambda: lab.job(job["id"])["phase"] == "done", 30)
        ledger = self.json("spend", "ledger", "--lab")
        teams = {e["team"]: e for e in ledger["entries"]}
        self.assertGreaterEqual(teams["research"]["slot_seconds"], 2)
        self.assertGreater(teams["research"]["cost_micro"], 0)
        months = ledger["contract_months"]
        self.assertEqual(sum(m["used_micro"] + m["idle_micro"] for m in months), sum(m["owed_micro"] for m in months))
        self.assertGreater(ledger["idle_micro"], 0)
        budget = self.json("spend", "budgets", "--lab")["items"][0]
        self.assertEqual(budget["spent_micro"], sum(e["cost_micro"] for e in ledger["entries"]))
        demand = lab.get("/api/v1/demand?of=research")["items"]
        self.assertGreater(sum(d["served"] for d in demand), 0)

    def test_5_a_plan_is_fed_by_the_lab_and_held_by_it(self):
        lab = self.lab
        with self.assertRaises(Refused) as none:
            lab.get("/api/v1/plan")
        self.assertEqual(none.exception.status, 404)
        path = os.path.join(lab.data, "plan.toml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(PLAN.format(start=self.today[:7], level="level = 24").replace('offers = "lab:offers"\n', ""))
        self.weir("plan", path, "--to-lab", "--quick", "--unseen", "50", "--no-stress")
        plan = lab.get("/api/v1/plan")["plan"]
        self.assertEqual(plan["commitments"][0]["name"], "contract-3001")
        self.assertEqual(plan["commitments"][0]["accelerators"], 4)
        self.assertTrue(any("take-or-pay of 80%" in n for n in plan["notes"]), plan["notes"])
        # A history of some seconds is none.
        with open(path, "w", encoding="utf-8") as f:
            f.write(PLAN.format(start=self.today[:7], level='history = "lab:research"').replace('offers = "lab:offers"\n', ""))
        self.assertIn("months", self.weir("plan", path, ok=False))
        with open(path, "w", encoding="utf-8") as f:
            f.write(PLAN.format(start=self.today[:7], level='history = "lab:nobody"'))
        self.assertIn("nobody", self.weir("plan", path, ok=False))

    def test_6_all_of_it_survives_kill_9(self):
        lab = self.lab
        book, plan = lab.get("/api/v1/book"), lab.get("/api/v1/plan")
        lab.kill9()
        lab.start()
        after = lab.get("/api/v1/book")
        self.assertEqual(after["book"], book["book"])
        self.assertEqual(after["version"], book["version"])
        self.assertEqual(lab.get("/api/v1/plan"), plan)
        self.assertGreater(len(self.json("spend", "ledger", "--lab")["entries"]), 0)
        lab.weir("journal", "verify")


if __name__ == "__main__":
    unittest.main(verbosity=2)
