"""The commands that the dashboard tells people to run exist, with the flags that it names."""
import os
import re
import subprocess
import unittest

WEIR = os.environ["WEIR_PROGRAM"]
SOURCE = os.environ["WEIR_SOURCE"]


def commands():
    with open(os.path.join(SOURCE, "web", "src", "commands.ts"), encoding="utf-8") as file:
        return re.findall(r"^\s+\w+: '(weir [^']+)',$", file.read(), re.MULTILINE)


class PageCommands(unittest.TestCase):
    def test_each_is_one_that_the_program_knows(self):
        self.assertGreater(len(commands()), 5)
        for command in commands():
            words = command.split(" -- ")[0].split()[1:]
            names = [w for w in words[:2] if re.fullmatch(r"[a-z]+", w)]
            with self.subTest(command=command):
                told = subprocess.run([WEIR, *names, "--help"], capture_output=True, text=True, timeout=20)
                self.assertEqual(told.returncode, 0, told.stderr)
                self.assertIn("Usage: weir " + " ".join(names), told.stdout)
                for flag in (w for w in words if w.startswith("--") and w != "--help"):
                    self.assertRegex(told.stdout, re.escape(flag) + r"\b")
                required = set(re.findall(r"^  (--[\w-]+).*REQUIRED", told.stdout, re.MULTILINE))
                if "--help" not in words:
                    self.assertLessEqual(required, set(words), "a flag that must be given is missing")


if __name__ == "__main__":
    unittest.main(verbosity=2)
