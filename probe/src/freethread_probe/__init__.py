"""Watches a free-threaded interpreter: is its GIL off, and if not, which module turned it on?

`start()` is all there is to call, and inject/sitecustomize.py calls it where the application is not to be changed. It never
raises: what goes wrong is counted, and the application does not notice.
"""

from __future__ import annotations

from . import errors, gil, registry

__version__ = "0.1.0"
__all__ = ["start"]

_started = False


def start() -> None:
    """Begin to watch, join the metrics of prometheus_client if the application uses it, and serve on a port if one is named."""
    global _started
    if _started:
        return
    _started = True
    with errors.counted():
        gil.watch()
    with errors.counted():
        registry.watch()
    with errors.counted():
        import os

        if os.environ.get("FREETHREAD_PROBE_PORT"):
            from . import server  # only now: it needs sockets, threads and HTTP

            server.start(int(os.environ["FREETHREAD_PROBE_PORT"]))
