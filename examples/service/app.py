"""The orders service: a small WSGI application whose work is CPU-bound Python, as it would run in production.

It answers the same on a standard and on a free-threaded interpreter, and exports what an operator needs to compare the two.
It also breaks on demand (see FAULTS below), one way for each reason to roll back.
"""

import ctypes
import faulthandler
import hashlib
import json
import os
import random
import socket
import sys
import sysconfig
import threading
import time
from http import HTTPStatus
from wsgiref.headers import Headers

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics, exposition

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
POOL = "free-threaded" if FREE_THREADED else "standard"
HOSTNAME = socket.gethostname()
VERSION = os.environ.get("VERSION", "dev")

# --- Metrics: the names and labels of prometheus_fastapi_instrumentator, and those of free threading --------------------

disable_created_metrics()
REQUESTS = Counter("http_requests_total", "Total number of requests.", ["handler", "method", "status"])
DURATION = Histogram(
    "http_request_duration_seconds", "Duration of requests.", ["handler", "method"], buckets=(0.05, 0.1, 0.3, 0.5, 1)
)
TALLIED = Counter("orders_tallied_total", "Orders added to the tally.")
LOST = Counter("orders_tally_lost_total", "Of those, the ones that the tally has lost: two threads read it before either wrote.")
GIL_ENABLED = Gauge("python_gil_enabled", "1 when the global interpreter lock is on, read at each scrape.")
GIL_ENABLED.set_function(lambda: float(getattr(sys, "_is_gil_enabled", lambda: True)()))
BUILD = Gauge("python_free_threaded_build_info", "1 when the interpreter is a free-threaded build.", ["version", "soabi"])
BUILD.labels(sys.version.split()[0], sysconfig.get_config_var("SOABI")).set(float(FREE_THREADED))

# --- Faults -------------------------------------------------------------------------------------------------------------
# POST /faults replaces them all, {} heals; the environment variable FAULTS sets those to start with. A fault belongs to the
# process: a worker that starts anew after a crash starts with FAULTS again.
#   {"errors": 0.2}                         this share of the orders is answered 500
#   {"slow_ms": 400, "slow_share": 0.3}     this share of the orders takes so much longer (all, without slow_share)
#   {"hang": true}                          orders are not answered until the faults change; /healthz and /metrics are
#   {"ready": false}                        /healthz answers 503
#   {"race": true}                          orders are added to the tally without its lock; what gets lost is counted
#   {"gil": true}                           the next order imports an extension that turns the GIL back on
#   {"crash": "segv"|"abort"}               the container's main process dies (SERVER=single or init, see main.py)
#   {"crash_worker": "segv"|"abort"}        the worker dies under gunicorn, which starts another one
#   {"oom": true}                           memory grows until the kernel ends the process
#   {"leak_mb_per_s": 2}                    memory grows slowly
#   "after_s": 5                            wait so long before a crash, oom or leak begins (0.2 without it)

HUNG_AT_MOST = 48  # threads; who comes after them gets a 503, so that some are left for /healthz and /metrics

faults: dict = {}
hung = threading.BoundedSemaphore(HUNG_AT_MOST)
hoard: list[bytearray] = []


def die(how: str) -> None:
    """End this process by a real fault of the processor or by abort(), as a broken extension would."""
    if how == "abort":
        os.abort()
    ctypes.string_at(0)


def grow(megabytes: int, pause: float) -> None:
    """Take memory and use it, without an end."""
    current = faults
    while faults is current:
        hoard.append(bytearray(b"x") * (megabytes << 20))
        time.sleep(pause)


def set_faults(new: dict) -> None:
    """Replace the faults, and start those that do not wait for a request."""
    global faults
    main_process = os.environ.get("SERVER", "gunicorn") != "gunicorn"
    if "crash" in new and not main_process:
        raise ValueError("crash needs SERVER=single or SERVER=init: gunicorn's master does not run this code; try crash_worker")
    if "crash_worker" in new and main_process:
        raise ValueError("crash_worker needs gunicorn")
    faults = new

    after = float(new.get("after_s", 0.2))  # the answer to POST /faults is out by then
    how = new.get("crash") or new.get("crash_worker")
    for wanted, task in [
        (how, lambda: die(how)),
        (new.get("oom"), lambda: grow(16, 0.02)),
        (new.get("leak_mb_per_s"), lambda: grow(1, 1 / float(new["leak_mb_per_s"]))),
    ]:
        if wanted:
            timer = threading.Timer(after, task)
            timer.daemon = True
            timer.start()


# --- The service --------------------------------------------------------------------------------------------------------

DOCUMENT = json.dumps(
    [
        {"id": i, "sku": f"sku-{i % 7}", "quantity": i % 5 + 1, "price": 9.5 + i, "tags": ["new", "eu"], "note": "x" * 20}
        for i in range(40)
    ]
)
at_work = threading.BoundedSemaphore(int(os.environ.get("THREADS", "4")))
ROUNDS = int(os.environ.get("ROUNDS", "8"))  # of the work below: about a millisecond in all


def summarize(document: str) -> dict:
    """Parse a document of 40 orders, add it up, write it again and hash it: the hot path."""
    for _ in range(ROUNDS):
        totals: dict[str, float] = {}
        for item in json.loads(document):
            totals[item["sku"]] = totals.get(item["sku"], 0) + item["quantity"] * item["price"]
        digest = hashlib.sha256(json.dumps(totals, sort_keys=True).encode()).hexdigest()
    return {"totals": totals, "digest": digest}


class Tally:
    """A shared number, as applications have them: correct with its lock, and without it for as long as nobody comes in between."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0  # what the application would believe
        self.entered = 0
        self.left = 0
        self.power = 32_000

    def add(self, work, racy: bool):
        """Do the work and count it. Lost updates show whenever nobody is at it."""
        with self.lock:
            self.entered += 1
        TALLIED.inc()
        try:
            return work()
        finally:
            if racy:
                # Reading, adding and writing without a call in between: no thread that waits for the GIL gets it here, however
                # long the power takes (about a millisecond). Without a GIL the others do not wait.
                self.count = self.count + 1 + 7**self.power % 1
            with self.lock:
                if not racy:
                    self.count += 1
                self.left += 1
                if self.left == self.entered:
                    LOST.inc(max(0, self.left - self.count))
                    self.count = self.entered = self.left = 0


tally = Tally()


def body_of(environ: dict) -> bytes:
    """The request's body. What comes through the API server's proxy is chunked, which wsgiref leaves to us."""
    source = environ["wsgi.input"]
    if environ.get("CONTENT_LENGTH"):
        return source.read(int(environ["CONTENT_LENGTH"]))
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() != "chunked":
        return b""
    if environ.get("wsgi.input_terminated"):
        return source.read()
    body = b""
    while size := int(source.readline().split(b";")[0], 16):
        body += source.read(size)
        source.readline()
    return body


def orders(environ: dict) -> tuple[int, str, bytes]:
    """GET adds up a document of our own, POST the one it carries."""
    current = faults
    if current.get("hang"):
        if not hung.acquire(blocking=False):
            return 503, "text/plain", b"too many requests hang\n"
        while faults is current:
            time.sleep(0.1)
        hung.release()
    if current.get("gil"):
        import legacyext

        legacyext.ping()
    if current.get("slow_ms") and random.random() < current.get("slow_share", 1):
        time.sleep(current["slow_ms"] / 1000)
    if random.random() < current.get("errors", 0):
        return 500, "application/json", b'{"error": "asked for by /faults"}\n'
    document = DOCUMENT
    if environ["REQUEST_METHOD"] == "POST":
        document = body_of(environ).decode()
    try:
        with at_work:
            answer = tally.add(lambda: summarize(document), bool(current.get("race")))
    except (ValueError, TypeError, KeyError):
        return 422, "application/json", b'{"error": "a list of {sku, quantity, price} is expected"}\n'
    return 200, "application/json", json.dumps({**answer, "version": VERSION}).encode() + b"\n"


def healthz(environ: dict) -> tuple[int, str, bytes]:
    """For the readiness and liveness probes."""
    if faults.get("ready", True):
        return 200, "text/plain", b"ok\n"
    return 503, "text/plain", b"not ready\n"


def metrics(environ: dict) -> tuple[int, str, bytes]:
    """For Prometheus."""
    encode, content_type = exposition.choose_encoder(environ.get("HTTP_ACCEPT", ""))
    return 200, content_type, encode(REGISTRY)


def change_faults(environ: dict) -> tuple[int, str, bytes]:
    """GET shows the faults, POST replaces them."""
    if environ["REQUEST_METHOD"] == "POST":
        try:
            new = json.loads(body_of(environ) or b"{}")
            if not isinstance(new, dict):
                raise ValueError("an object is expected")
            set_faults(new)
        except ValueError as error:
            return 400, "application/json", json.dumps({"error": str(error)}).encode() + b"\n"
    return 200, "application/json", json.dumps(faults).encode() + b"\n"


ROUTES = {"/": orders, "/orders": orders, "/healthz": healthz, "/metrics": metrics, "/faults": change_faults}


def application(environ: dict, start_response) -> list[bytes]:
    """The WSGI entry point: route, time, count."""
    begin = time.perf_counter()
    path = environ.get("PATH_INFO") or "/"
    handler = ROUTES.get(path)
    status, content_type, body = handler(environ) if handler else (404, "text/plain", b"not found\n")
    headers = Headers([("Content-Type", content_type), ("Content-Length", str(len(body)))])
    headers["X-Pool"] = POOL
    headers["X-Pod"] = HOSTNAME
    if handler is not change_faults:  # the tests' own requests are no traffic
        name = path if handler else "none"
        method = environ["REQUEST_METHOD"]
        DURATION.labels(name, method).observe(time.perf_counter() - begin)
        REQUESTS.labels(name, method, f"{status // 100}xx").inc()
    start_response(f"{status} {HTTPStatus(status).phrase}", headers.items())
    return [body]


faulthandler.enable()  # a crash leaves the stacks of all threads in the log
if os.environ.get("FAULTS"):
    set_faults(json.loads(os.environ["FAULTS"]))
