"""The queue example on this machine: a Redis of its own, workers, the producer, and a flag that says what the test says."""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples/queue"
# redis-tools brings the server too: under this name it is one, without the service that redis-server would start.
REDIS = shutil.which("redis-check-rdb") or "redis-check-rdb"
HEARTBEAT_TIMEOUT = 8
DEADLINE = 300  # seconds, for a machine that is busy with something else


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port: int, path: str, body=None) -> str:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=60) as answer:
        return answer.read().decode()


def until(what: str, check):
    """Wait until check() is true, and return it; an error of the network is a no."""
    deadline = time.monotonic() + DEADLINE
    seen = None
    while time.monotonic() < deadline:
        try:
            if seen := check():
                return seen
        except OSError as error:
            seen = error
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {DEADLINE} s, seen: {seen}")


class Flag(BaseHTTPRequestHandler):
    """As the operator answers, but at random."""

    weight = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        ours = random.randrange(100) < Flag.weight
        answer = {"key": "orders", "reason": "SPLIT", "variant": "free-threaded" if ours else "standard", "metadata": {}}
        body = json.dumps({**answer, "value": "orders-ft" if ours else "orders"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args) -> None:
        pass


class Worker:
    def __init__(self, stage: "Stage", queue: str):
        self.port, self.metrics_port = free_port(), free_port()
        self.process = stage.start(
            [sys.executable, "-m", "dramatiq", "worker", "--processes", "1", "--threads", "4"],
            QUEUE=queue,
            PORT=str(self.port),
            dramatiq_prom_port=str(self.metrics_port),
            dramatiq_prom_db=tempfile.mkdtemp(dir=stage.folder),
        )
        until("the worker is ready", lambda: get(self.port, "/healthz"))
        # Another process answers for these, and starts later; at first there are none.
        until("its metrics are there", lambda: [get(self.metrics_port, "/metrics")])

    def faults(self, new: dict) -> None:
        get(self.port, "/faults", new)

    def done(self, queue: str) -> int:
        """Messages of this queue that it processed, by its own metrics."""
        lines = get(self.metrics_port, "/metrics").splitlines()
        of_queue = [line for line in lines if line.startswith("dramatiq_messages_total{") and f'"{queue}"' in line]
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in of_queue))

    def stop(self, number: int) -> int:
        """Send the signal, and say how it ended. SIGKILL is for all of its processes, as when its container is killed."""
        if number == signal.SIGKILL:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        return self.process.wait(DEADLINE)


class Stage:
    """One per test. What it started ends with it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.processes: list[subprocess.Popen] = []
        self.redis, self.port = free_port(), free_port()
        self.fallback_age = 2
        Flag.weight = 0
        self.flag = ThreadingHTTPServer(("127.0.0.1", 0), Flag)
        threading.Thread(target=self.flag.serve_forever, daemon=True).start()
        self.start(["redis-server", "--port", str(self.redis), "--bind", "127.0.0.1", "--save", ""], executable=REDIS)
        self.start(
            [sys.executable, "producer.py"],
            PORT=str(self.port),
            FLAG_TIMEOUT="30",
            FLAGS_URL=f"http://127.0.0.1:{self.flag.server_port}/namespaces/shop",
        )
        until("the producer takes orders", lambda: get(self.port, "/ledger"))

    def start(self, command: list[str], executable=None, **environment) -> subprocess.Popen:
        shared = {
            "BROKER_URL": f"redis://127.0.0.1:{self.redis}/0",
            "FALLBACK_QUEUE": "orders-ft",
            "FALLBACK_AGE": str(self.fallback_age),
            "HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
        }
        log = open(f"{self.folder}/{len(self.processes)}.log", "w")
        with log:
            process = subprocess.Popen(
                command,
                executable=executable,
                cwd=EXAMPLE,
                env={**os.environ, **shared, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def order(self, count: int) -> None:
        for _ in range(count):
            get(self.port, "/orders")

    def ledger(self) -> dict:
        return json.loads(get(self.port, "/ledger"))

    def all_done(self) -> dict:
        until("all orders are done", lambda: self.ledger()["missing"] == 0)
        return self.ledger()

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.flag.shutdown()
        self.flag.server_close()
        shutil.rmtree(self.folder)
