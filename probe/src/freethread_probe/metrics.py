"""What is measured, as plain data, and as text for Prometheus."""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES

from . import errors, gil

TYPE_CHECKING = False  # typing is slow to import, and only checkers need it
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Family = tuple[str, str, str, list[tuple[dict[str, str], float]]]  # name, type, help, samples

VERSION = ".".join(map(str, sys.version_info[:3]))
# As sysconfig has it, without its tables of everything that was known when Python was built.
SOABI = EXTENSION_SUFFIXES[0].strip(".").rsplit(".", 1)[0] if EXTENSION_SUFFIXES else ""


def families(enabled: bool, modules: Iterable[str], threads: int) -> list[Family]:
    build = {"version": VERSION, "soabi": SOABI}
    return [
        ("python_gil_enabled", "gauge", "1 when the global interpreter lock is on, read at each scrape.", [({}, float(enabled))]),
        ("python_free_threaded_build_info", "gauge", "1 when the interpreter is a free-threaded build.", [(build, float(gil.FREE_THREADED))]),
        ("python_threads", "gauge", "Threads of the process, native ones too, as the kernel counts them.", [({}, float(threads))]),
        ("python_gil_enabled_by_info", "gauge", "The module that turned the global interpreter lock on.", [({"module": m[:200]}, 1.0) for m in modules]),
        ("freethread_probe_errors", "counter", "Errors of the probe itself, which it swallowed.", [({}, float(errors.count))]),
    ]  # fmt: skip


def of_this_process() -> list[Family]:
    enabled = gil.is_enabled()
    return families(enabled, gil.enabled_by(), threads_of("self"))


def text(all_families: Iterable[Family]) -> str:
    return "".join(line + "\n" for family in all_families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    name, kind, help_text, samples = family
    name += "_total" if kind == "counter" else ""
    if samples:
        yield f"# HELP {name} {help_text}"
        yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        pairs = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
        yield f"{name}{'{' + pairs + '}' if pairs else ''} {value:g}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def threads_of(pid: str) -> int:
    """The kernel's count; where it cannot be had, and for ourselves only, Python's."""
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        import _thread

        return _thread._count() + 1 if pid == "self" else 0


def threads_of_tree() -> int:
    """Of this process and of those below it that run the same interpreter: a server's workers."""
    total, waiting, seen = 0, [str(os.getpid())], 0
    while waiting and seen < 1000:
        pid = waiting.pop()
        seen += 1
        if pid == str(os.getpid()) or _runs_python(pid):
            total += threads_of(pid)
        waiting.extend(_children(pid))
    return total or threads_of("self")


def _runs_python(pid: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/exe") == os.readlink("/proc/self/exe")
    except OSError:
        return False


def _children(pid: str) -> list[str]:
    found: list[str] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found.extend(file.read().split())
    except OSError:
        pass
    return found
