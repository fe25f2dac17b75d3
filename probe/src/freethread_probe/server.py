"""GET /metrics on a port of our own, for one process and for all that come from it.

The first process that gets the port answers for all. Workers that a server forks and programs that it starts tell it when
their GIL comes on, through a socket that exists only inside the pod's network and has no file.

The thread is ended before a fork and started again after it: a fork never finds it in the middle of something, and the
interpreter sees no other thread to warn of.
"""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer

from . import errors, gil, metrics, registry

MOST_PROCESSES = 64

_port = 0
_server: _Server | None = None
_inbox: socket.socket | None = None
_thread: threading.Thread | None = None
_wake = (-1, -1)
_others: dict[int, list[str]] = {}


class _Server(TCPServer):
    allow_reuse_address = True
    timeout = 0.1

    def __init__(self, port: int) -> None:
        super().__init__(("", port), _Handler, bind_and_activate=False)
        self.socket.close()
        both = socket.has_ipv6 and socket.has_dualstack_ipv6()
        self.socket = socket.create_server(("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both)

    def handle_error(self, request: object, client_address: object) -> None:
        errors.count += 1


class _Handler(BaseHTTPRequestHandler):
    timeout = 2  # a client that says nothing holds up the others

    def do_GET(self) -> None:
        body = text().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def start(port: int) -> None:
    """Answer on this port, or, when another process does, tell that one."""
    global _port, _server, _inbox
    _port = port
    gil.on_flip.append(_tell)
    try:
        _server = _Server(port)
    except OSError as error:
        # As a rule the parent has it, which is as it should be; else somebody must know why nothing answers.
        if not _parent_answers():
            errors.count += 1
            errors.say(f"port {port}: {error}")
        return
    with errors.counted():
        _inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        _inbox.bind(_address())
        _inbox.setblocking(False)
    os.register_at_fork(before=_pause, after_in_parent=_go_on, after_in_child=_forked)
    _go_on()
    if _thread is None:
        _close()


def text() -> str:
    """The metrics of all processes: one whose GIL is on is enough, and who turned it on stays told after its end."""
    registry.join()
    others_on = any(_alive(pid) for pid in list(_others))
    enabled = gil.is_enabled() or others_on
    modules = {module: None for names in (gil.enabled_by(), *list(_others.values())) for module in names}
    return metrics.text(metrics.families(enabled, modules, metrics.threads_of_tree()))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _address() -> str:
    return f"\0freethread-probe-{_port}"


def _parent_answers() -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.connect(_address())
        return True
    except OSError:
        return False


def _tell(modules: list[str]) -> None:
    """Tell the process that has the port. If that is this one, it knows."""
    if _server is None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto(json.dumps([os.getpid(), modules]).encode(), _address())


def _hear() -> None:
    assert _inbox is not None
    pid, modules = json.loads(_inbox.recv(8192))
    if len(_others) < MOST_PROCESSES:
        _others[int(pid)] = [str(module) for module in modules]


def _serve(server: _Server, inbox: socket.socket | None, wake: int) -> None:
    """Wait, without waking up in between, for a scrape, for a word of another process, or for being told to end."""
    sources = {source: _identity(source) for source in (server.fileno(), wake, *([inbox.fileno()] if inbox else []))}
    waiting = select.poll()
    for source in sources:
        waiting.register(source, select.POLLIN)
    while True:
        for ready, _ in waiting.poll():
            # A program that becomes a daemon closes all there is. What has our number then is its own, and not ours to read.
            if _identity(ready) != sources[ready]:
                errors.say("the port was closed by the application")
                return
            if ready == wake:
                os.close(wake)
                return
            with errors.counted():
                if ready == server.fileno():
                    server.handle_request()
                else:
                    _hear()


def _identity(descriptor: int) -> object:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _go_on() -> None:
    global _thread, _wake
    if _server is None or _thread is not None:
        return
    with errors.counted():
        _wake = os.pipe()
        thread = threading.Thread(target=_serve, args=(_server, _inbox, _wake[0]), name="freethread-probe", daemon=True)
        try:
            thread.start()
            _thread = thread
        except BaseException:
            for end in _wake:
                os.close(end)
            raise


def _pause() -> None:
    """End the thread. One that is busy with a slow client is not waited for."""
    global _thread
    if _thread is not None:
        with errors.counted():
            os.close(_wake[1])
            _thread.join(0.5)
        _thread = None


def _forked() -> None:
    """The port is the parent's, and must not stay open in us when the parent is gone."""
    _close()
    _others.clear()


def _close() -> None:
    global _server, _inbox, _thread
    server, inbox = _server, _inbox
    _server = _inbox = _thread = None
    with errors.counted():
        if server is not None:
            server.server_close()
    with errors.counted():
        if inbox is not None:
            inbox.close()
