"""The worker: `python3 -m dramatiq worker --processes 1 --threads 4`, unchanged on standard and on free-threaded CPython.

Port 9191 has dramatiq's own metrics, port 8080 /healthz and, for tests, /faults.
"""

import ctypes
import hashlib
import json
import os
import random
import sys
import sysconfig
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dramatiq
from dramatiq.middleware import Middleware

import ledger
from broker import FALLBACK_QUEUE, QUEUE, broker

POOL = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "standard"

# POST /faults replaces them all, {} heals. They belong to the process: one that starts anew starts without.
#   {"errors": 0.2}       this share of the orders fails, and is tried again later
#   {"slow_ms": 400}      each order takes so much longer
#   {"crash": "segv"}     the worker process dies
faults: dict = {}


def gil_enabled() -> bool:
    return getattr(sys, "_is_gil_enabled", lambda: True)()


# A failed order is tried again for about a day; what fails then waits a week in the dead-letter queue (orders.XQ).
@dramatiq.actor(actor_name="order", queue_name=QUEUE, max_retries=40, min_backoff=1_000, max_backoff=3_600_000)
def work(order: str) -> None:
    """One order: about a millisecond of CPU-bound Python."""
    time.sleep(faults.get("slow_ms", 0) / 1000)
    if random.random() < faults.get("errors", 0):
        raise RuntimeError("asked for by /faults")
    digest = order
    for _ in range(40):
        digest = hashlib.sha256(json.dumps([digest] * 20).encode()).hexdigest()
    # It may be done twice (see README.md), so that what it does must bear that.
    ledger.done(order, POOL, gil_enabled())


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(200 if self.path in ("/healthz", "/faults") else 404, faults if self.path == "/faults" else {})

    def do_POST(self) -> None:
        global faults
        try:
            new = json.loads(self.body())
            if self.path != "/faults" or not isinstance(new, dict):
                raise ValueError("POST an object to /faults")
        except ValueError as error:
            self.answer(400, {"error": str(error)})
            return
        faults = new
        self.answer(200, faults)
        if "crash" in new:
            ctypes.string_at(0)

    def body(self) -> bytes:
        """What comes through the API server's proxy is chunked, which http.server leaves to us."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        return body

    def answer(self, status: int, what: dict) -> None:
        body = json.dumps(what).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args) -> None:
        pass


class Health(Middleware):
    """Ready when the threads are there. While the worker drains it stays so: its pod gets no requests that could be kept away."""

    def after_worker_boot(self, broker, worker) -> None:
        server = ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()


broker.add_middleware(Health())
if FALLBACK_QUEUE:
    broker.declare_queue(FALLBACK_QUEUE)
