"""A real `weir up` on a folder of its own, for the tests of the whole program.

    with Lab(["--empty"]) as lab:
        lab.post("/api/v1/jobs", {...})
        lab.wait("the job runs", lambda: lab.job("a")["phase"] == "running", 20)

Every lab listens on a free port, keeps its data in a temporary folder and is ended with everything
that it started when the block ends, however it ends.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

WEIR = os.environ.get("WEIR_PROGRAM") or sys.exit("set WEIR_PROGRAM to the weir binary")
SOURCE = os.environ.get("WEIR_SOURCE", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SHARED = os.environ.get("WEIR_SHARED", "")


class Refused(Exception):
    """An answer other than 2xx: its status and its body, parsed where it is JSON."""

    def __init__(self, status, body, headers):
        super().__init__(f"status {status}: {body}")
        self.status, self.body, self.headers = status, body, headers


def story_text():
    """Text for the first story: shared data where it is there, else this machine's documentation."""
    path = os.path.join(SHARED, "text", "tinyshakespeare.txt")
    return ["--text", path] if SHARED and os.path.exists(path) else []


class Lab:
    def __init__(self, flags=(), data=None, env=None):
        self.flags = list(flags)
        self.made = data is None
        self.data = data or tempfile.mkdtemp(prefix="weir-test-")
        self.env = {**os.environ, **(env or {})}
        self.process = None
        self.url = self.key = None
        self.log = os.path.join(self.data + ".log")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.end()
        if exc[0] is not None:
            print(f"--- the last lines of {self.log}:")
            with contextlib.suppress(OSError), open(self.log, encoding="utf-8", errors="replace") as f:
                print("".join(f.readlines()[-60:]))
        else:
            with contextlib.suppress(OSError):
                os.unlink(self.log)
        if self.made:
            shutil.rmtree(self.data, ignore_errors=True)

    def start(self, wait=True):
        endpoint = os.path.join(self.data, "endpoint")
        with contextlib.suppress(OSError):
            os.unlink(endpoint)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [WEIR, "up", "--data", self.data, "--listen", "127.0.0.1:0", *self.flags],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env)
        if wait:
            self.wait_up()

    def wait_up(self, seconds=30):
        endpoint = os.path.join(self.data, "endpoint")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"weir up ended with {self.process.returncode}:\n{self.tail()}")
            with contextlib.suppress(OSError, ValueError, Refused, urllib.error.URLError):
                with open(endpoint, encoding="utf-8") as f:
                    self.url = f.read().strip()
                with open(os.path.join(self.data, "admin.key"), encoding="utf-8") as f:
                    self.key = f.read().strip()
                if self.url and self.get("/readyz", raw=True) is not None:
                    return
            time.sleep(0.02)
        raise AssertionError(f"weir up was not ready within {seconds} s:\n{self.tail()}")

    def tail(self, lines=30):
        with contextlib.suppress(OSError), open(self.log, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-lines:])
        return ""

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=60):
        """SIGTERM: a drain. Returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def end(self):
        """Ends everything that belongs to this data folder."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.pids():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def pids(self):
        """Processes that run for this lab: those whose command line or environment names its data folder."""
        found = []
        needle = self.data.encode()
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            for file in ("cmdline", "environ"):
                with contextlib.suppress(OSError), open(f"/proc/{name}/{file}", "rb") as f:
                    if needle in f.read():
                        found.append(int(name))
                        break
        return found

    # ---- the API ----
    def request(self, method, path, body=None, key=None, raw=False, timeout=20):
        data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Authorization", "Bearer " + (self.key if key is None else key))
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                content = answer.read()
                return content if raw else json.loads(content or b"null")
        except urllib.error.HTTPError as error:
            content = error.read()
            with contextlib.suppress(ValueError):
                content = json.loads(content)
            raise Refused(error.code, content, dict(error.headers)) from None

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.request("POST", path, body, **more)

    def put(self, path, body, **more):
        return self.request("PUT", path, body, **more)

    def view(self):
        return self.get("/api/v1/lab")

    def job(self, name):
        for job in reversed(self.view()["jobs"]):
            if job["spec"]["name"] == name or job["id"] == name:
                return job
        return None

    def service(self, name):
        for service in self.view()["services"]:
            if service["service"]["spec"]["name"] == name:
                return service
        return None

    def journal(self):
        records, at = [], 1
        while True:
            page = self.get(f"/api/v1/journal?from={at}&limit=500")
            records += page["records"]
            if not page["records"]:
                return records
            at = page["next"]

    def weir(self, *args, check=True, **more):
        """Runs a client command against this lab; its completed process."""
        env = {**self.env, "WEIR_DATA": self.data, "WEIR_URL": self.url or ""}
        done = subprocess.run([WEIR, *args], capture_output=True, text=True, env=env, timeout=more.pop("timeout", 60), **more)
        if check and done.returncode != 0:
            raise AssertionError(f"weir {' '.join(args)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    @staticmethod
    def wait(what, condition, seconds, every=0.1):
        """Waits until the condition holds; returns what it returned."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                value = condition()
                if value:
                    return value
            if time.monotonic() > deadline:
                raise AssertionError(f"after {seconds} s still not so: {what}")
            time.sleep(every)

    def verify(self):
        """The journal's own check; the lab may be up or down."""
        done = subprocess.run([WEIR, "journal", "verify", "--data", self.data], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"journal verify: {done.stdout}\n{done.stderr}"
        return done.stdout


def sentence(text):
    """Bad input is answered by one line that says what is wrong; a second, indented, may say what to do."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    assert 1 <= len(lines) <= 2 and all(line.startswith("  ") for line in lines[1:]), f"expected one sentence:\n{text}"
    assert re.search(r"\w", lines[0])
    return lines[0]
