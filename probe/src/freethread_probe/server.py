"""GET /metrics on a port of our own, for one process and for all that come from it.

The first process that gets the port answers for all. Workers that a server forks and programs that it starts tell it when
their GIL comes on, through a socket that exists only inside the pod's network and has no file.

The thread is ended before a fork and started again after it: a fork never finds it in the middle of something.

No http.server: importing it takes longer than all the rest of a small program's start, for a protocol of one question.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time

from . import errors, gil, metrics, registry

MOST_PROCESSES = 64
PATIENCE = 2.0  # seconds; a client that says nothing holds up the others

_port = 0
_listener: socket.socket | None = None
_inbox: socket.socket | None = None
_thread: threading.Thread | None = None
_wake = (-1, -1)
_made: dict[int, object] = {}  # what each of our descriptors was when we made it
_others: dict[int, list[str]] = {}  # processes that told us who turned their GIL on


def start(port: int) -> None:
    """Answer on this port, or, when another process does, tell that one."""
    global _port, _listener, _inbox
    _port = port
    gil.on_flip.append(_tell)
    try:
        both = socket.has_dualstack_ipv6()
        _listener = socket.create_server(("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both)
        _listener.setblocking(False)
        _made[_listener.fileno()] = _identity(_listener.fileno())
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
        _made[_inbox.fileno()] = _identity(_inbox.fileno())
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
    if _listener is None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto("\n".join([str(os.getpid()), *modules]).encode(), _address())


def _hear() -> None:
    assert _inbox is not None
    pid, *modules = _inbox.recv(8192).decode().split("\n")
    if modules and len(_others) < MOST_PROCESSES:
        _others[int(pid)] = modules


def _answer(listener: socket.socket) -> None:
    """Whatever is asked, the answer is the metrics."""
    client, _ = listener.accept()
    with client:
        end = time.monotonic() + PATIENCE
        request = b""
        while b"\r\n\r\n" not in request and len(request) < 16384:
            client.settimeout(max(0.01, end - time.monotonic()))
            try:
                data = client.recv(4096)
            except OSError:  # too slow, or gone
                return
            if not data:
                return
            request += data
        body = text().encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        client.settimeout(PATIENCE)
        client.sendall(head.encode() + body)


def _serve(listener: socket.socket, inbox: socket.socket | None, wake: int) -> None:
    """Wait, without waking up in between, for a scrape, for a word of another process, or for being told to end."""
    waiting = select.poll()
    for source in (listener.fileno(), wake, *([inbox.fileno()] if inbox else [])):
        waiting.register(source, select.POLLIN)
    while True:
        for ready, _ in waiting.poll():
            if not _is_ours(ready):
                errors.say("the port was closed by the application")
                return
            if ready == wake:
                os.close(wake)
                return
            with errors.counted():
                if ready == listener.fileno():
                    _answer(listener)
                else:
                    _hear()


def _identity(descriptor: int) -> object:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_ours(descriptor: int) -> bool:
    """A program that becomes a daemon closes all there is. What has our number then is its own: not ours to read, nor to close.

    Compared with what it was when we made it: a thread that looks when it starts may come too late, on a busy machine."""
    return _made.get(descriptor) is not None and _identity(descriptor) == _made[descriptor]


def _go_on() -> None:
    global _thread, _wake
    if _listener is None or _thread is not None:
        return
    if not _is_ours(_listener.fileno()):
        _close()
        return
    with errors.counted():
        _wake = os.pipe()
        _made.update((end, _identity(end)) for end in _wake)
        thread = threading.Thread(target=_serve, args=(_listener, _inbox, _wake[0]), name="freethread-probe", daemon=True)
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
            if _is_ours(_wake[1]):
                os.close(_wake[1])
            _thread.join(0.5)
        _thread = None


def _forked() -> None:
    """The port is the parent's, and must not stay open in us when the parent is gone."""
    _close()
    _others.clear()


def _close() -> None:
    global _listener, _inbox, _thread
    sockets = _listener, _inbox
    _listener = _inbox = _thread = None
    for one in sockets:
        with errors.counted():
            if one is not None:
                one.close() if _is_ours(one.fileno()) else one.detach()
