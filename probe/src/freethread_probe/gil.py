"""Is the GIL on for good, and who turned it on?

Two sources, for each can be deaf. The interpreter's warning names the module exactly, but filters hide it. The loading of
extensions can be watched whatever the filters are, but when several are loaded at once it is not certain which of them it was.

Loading *any* extension turns the GIL on for as long as its init function runs, also one that then declares that it does not need
it. A scrape in that moment sees sys._is_gil_enabled() True. So "on" is believed only when it stays.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import RLock
from importlib.machinery import ExtensionFileLoader

from . import errors

TYPE_CHECKING = False  # typing is slow to import, and only checkers need it
if TYPE_CHECKING:
    from collections.abc import Callable

FREE_THREADED = "t" in getattr(sys, "abiflags", "")
UNKNOWN = "unknown"
LONGEST_LOADING = 10.0  # seconds
BEFORE = "The global interpreter lock (GIL) has been enabled to load module '"
AFTER = (
    "', which has not declared that it can run safely without the GIL. To override this behavior and keep the GIL disabled "
    "(at your own risk), run with PYTHON_GIL=0 or -Xgil=0."
)

enabled_now: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
on_flip: list[Callable[[list[str]], None]] = []

_lock = RLock()  # a signal handler may import an extension while we hold it
_loading = 0  # extensions that are being loaded at this moment
_suspects: list[str] = []
_undecided_since = 0.0
_permanent = False
_by: list[str] = []


def is_enabled() -> bool:
    """Is the GIL on, and not only while an extension is loaded?"""
    if _permanent:
        return True
    global _undecided_since
    if not enabled_now():
        _undecided_since = 0.0
        return False
    if not _loading:
        return _settle()
    # Somebody's loading has to come to its end first; one that takes so long is as bad as a GIL that stays.
    _undecided_since = _undecided_since or time.monotonic()
    return time.monotonic() - _undecided_since > LONGEST_LOADING


def enabled_by() -> list[str]:
    """The module that turned the GIL on: empty if it is off or was on from the start, several if it is one of them."""
    return _by


def watch() -> None:
    """Learn from now on who turns the GIL on. Where it cannot be off there is nothing to watch."""
    global _permanent
    if enabled_now():
        _permanent = True
        if FREE_THREADED and sys.flags.gil is None:  # nobody asked for it, so somebody before us needed it
            _by.append(UNKNOWN)
        return
    ExtensionFileLoader.create_module = _watched(ExtensionFileLoader.create_module)  # type: ignore[method-assign]
    if sys.version_info >= (3, 15):  # until then a module has said what it needs when it has been created
        ExtensionFileLoader.exec_module = _watched(ExtensionFileLoader.exec_module)  # type: ignore[method-assign]
    with errors.counted():
        _watch_warnings()
    os.register_at_fork(after_in_child=_forked)


def _watched(original: Callable) -> Callable:
    def load(loader, subject):  # create_module gets a spec, exec_module a module
        with errors.counted():
            _enter()
        try:
            return original(loader, subject)
        finally:
            with errors.counted():
                _leave(str(getattr(loader, "name", UNKNOWN)))

    return load


def _enter() -> None:
    global _loading
    with _lock:
        _loading += 1


def _leave(name: str) -> None:
    global _loading
    with _lock:
        _loading = max(0, _loading - 1)  # a process forked during an import began at 0
        if _permanent:
            return
        if not enabled_now():
            _suspects.clear()  # it is off: none of them did it
            return
        if name not in _suspects:
            _suspects.append(name)
        if _loading:
            return
    _settle()


def _settle() -> bool:
    """Does it stay on? Loaders that are not watched may be at work. Takes 20 ms, and only where the GIL is on."""
    for _ in range(10):
        if not enabled_now() or _loading:
            return _permanent
        time.sleep(0.002)
    _flipped(None, shown=False)
    return True


def _flipped(name: str | None, shown: bool) -> None:
    """It is on for good. Remember by whom, say so where nobody else did, and tell the others."""
    global _permanent
    with _lock:
        if _permanent:
            return
        _by[:] = [name] if name else _suspects[:8] or [UNKNOWN]
        _permanent = True
    if not shown:
        # In the interpreter's own words, so that whoever reads the log for them finds them.
        with errors.counted():
            sys.__stderr__.write("".join(f"freethread_probe:0: RuntimeWarning: {BEFORE}{module}{AFTER}\n" for module in _by))  # type: ignore[union-attr]
            sys.__stderr__.flush()  # type: ignore[union-attr]
    for listener in on_flip:
        with errors.counted():
            listener(_by)


def _watch_warnings() -> None:
    """See each warning before it is shown.

    warnings._showwarnmsg is what the interpreter calls. The public showwarning would lose the warning's source for everybody,
    and logging.captureWarnings and catch_warnings put their own in its place.
    """
    import warnings

    original = warnings._showwarnmsg  # type: ignore[attr-defined]
    printed = (warnings.showwarning, warnings._showwarnmsg_impl)  # type: ignore[attr-defined]

    def show(message):
        name = None
        with errors.counted():
            text = str(message.message)
            if text.startswith(BEFORE):
                name = text[len(BEFORE) :].split("'", 1)[0]
        try:
            return original(message)
        finally:
            if name:
                with errors.counted():
                    default = printed == (warnings.showwarning, warnings._showwarnmsg_impl)  # type: ignore[attr-defined]
                    _flipped(name, shown=default and sys.stderr is sys.__stderr__)

    warnings._showwarnmsg = show  # type: ignore[attr-defined]


def _forked() -> None:
    """The threads that were loading something are not here, and may have held the lock."""
    global _lock, _loading
    _lock = RLock()
    _loading = 0
    _suspects.clear()
