"""Start the orders service on port 8080. The environment variable SERVER says how:

gunicorn  (the default) as in production: one worker process, several threads
single    one process and nothing around it: a crash is the container's crash
init      the same as the child of a small init, like tini: it passes on how its child ended
"""

import os
import signal
import socketserver
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

HERE = os.path.dirname(os.path.abspath(__file__))
PORT = int(os.environ.get("PORT", "8080"))


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """One thread for each connection."""

    daemon_threads = True
    request_queue_size = 128


class Handler(WSGIRequestHandler):
    """Neither access log nor look-ups of names."""

    def address_string(self) -> str:
        return self.client_address[0]

    def log_message(self, *args) -> None:
        pass


def serve_single() -> None:
    """Serve until SIGTERM, then finish what is under way."""
    # A process that is number 1 has no default handlers: without this one SIGTERM would do nothing.
    server = Server(("", PORT), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    from app import application

    server.set_app(application)
    print(f"serving on port {PORT}", file=sys.stderr)
    server.serve_forever(poll_interval=0.1)


def serve_as_init() -> None:
    """Be the parent: pass SIGTERM on, reap, and end as the child did."""
    child = os.fork()
    if child == 0:
        serve_single()
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: os.kill(child, received))
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    match os.environ.get("SERVER", "gunicorn"):
        case "single":
            serve_single()
        case "init":
            serve_as_init()
        case "gunicorn":
            os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", f"{HERE}/gunicorn.conf.py", "app:application"])
        case other:
            sys.exit(f"SERVER is gunicorn, single or init, not {other}")
