"""Our metrics in prometheus_client's default registry, in applications that use it. It is never imported for that."""

from __future__ import annotations

import os
import sys

from . import errors, metrics

TYPE_CHECKING = False  # typing is slow to import, and only checkers need it
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

NAME = "prometheus_client"
_registered = False


def watch() -> None:
    """Join as soon as the application has imported prometheus_client."""
    if not join():
        sys.meta_path.insert(0, _Watcher())  # type: ignore[arg-type]


def join() -> bool:
    """Join now, if it is there. In multiprocess mode a registry shows files of all processes, and nothing of this one."""
    global _registered
    client = sys.modules.get(NAME)
    if _registered or client is None or not hasattr(client, "REGISTRY"):
        return _registered
    _registered = True
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR") or os.environ.get("prometheus_multiproc_dir"):
        errors.say("prometheus_client is in multiprocess mode, whose registry has no place for us; set FREETHREAD_PROBE_PORT")
    else:
        client.REGISTRY.register(_Collector(client))
    return True


class _Collector:
    def __init__(self, client: Any) -> None:
        self.client = client

    def describe(self) -> list[Any]:
        """No names: an application may have metrics of the same name, and a name that we claim would be an error to it."""
        return []

    def collect(self) -> Iterator[Any]:
        with errors.counted():
            # Twice the same name would be an error to Prometheus: the application's own goes first.
            taken = self.client.REGISTRY._names_to_collectors
            for name, kind, help_text, samples in metrics.of_this_process():
                if name in taken or not samples:
                    continue
                family = self.client.Metric(name, help_text, kind)
                for labels, value in samples:
                    family.add_sample(name + ("_total" if kind == "counter" else ""), labels, value)
                yield family


class _Watcher:
    """A finder that finds nothing, and asks to be told when one module has been loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != NAME:
            return None
        with errors.counted():
            sys.meta_path.remove(self)  # type: ignore[arg-type]
            spec = _found(name, path, target)
            if spec is None or spec.loader is None:
                sys.meta_path.insert(0, self)  # type: ignore[arg-type]
                return spec
            load = spec.loader.exec_module

            def load_and_join(module: Any) -> None:
                load(module)
                with errors.counted():
                    join()

            with errors.counted():
                spec.loader.exec_module = load_and_join
            return spec
        return None


def _found(name: str, path: Any, target: Any) -> Any:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = find(name, path, target) if find else None
        if spec is not None:
            return spec
    return None
