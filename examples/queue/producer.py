"""The producer: takes orders over HTTP, asks the flag for each which queue it goes to, and says which it was.

/orders takes an order, /ledger says what became of all of them.
"""

import json
import os
import signal
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dramatiq import Message
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from redis.exceptions import RedisError

import ledger
from broker import QUEUE, broker

FLAG = os.environ.get("FLAG", "orders")  # the rollout's name
if "FLAGS_URL" in os.environ:
    # An answer that does not come in time is the default: the standard queue.
    api.set_provider(OFREPProvider(os.environ["FLAGS_URL"], timeout=float(os.environ.get("FLAG_TIMEOUT", "0.3"))))
flags = api.get_client()


def take() -> dict:
    """One order: which queue, into it, into the books."""
    order = str(uuid.uuid4())
    queue = flags.get_string_value(FLAG, QUEUE, EvaluationContext(targeting_key=order))
    broker.enqueue(Message(queue_name=queue, actor_name="order", args=(order,), kwargs={}, options={}))
    ledger.take(order)
    return {"order": order, "queue": queue}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        try:
            if self.path == "/orders":
                self.answer(200, take())
            elif self.path == "/ledger":
                self.answer(200, ledger.balance())
            else:
                self.answer(200 if self.path == "/healthz" else 404, {})
        except RedisError as error:
            # The customer is not told that it was taken: it may be done all the same, as with every answer that gets lost.
            self.answer(503, {"error": str(error)})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def answer(self, status: int, what: dict) -> None:
        body = json.dumps(what).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if "queue" in what:
            self.send_header("X-Pool", "standard" if what["queue"] == QUEUE else "free-threaded")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    server = Server(("", int(os.environ.get("PORT", "8080"))), Handler)
    # A process that is number 1 has no default handlers: without this one SIGTERM would do nothing.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
