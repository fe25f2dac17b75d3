"""Processes with an end: each has a time limit, a group of its own that is killed with it, and bounded output.

Whatever a process does, crash, hang, exit or talk without end, is a result.
"""

import collections
import hashlib
import json
import os
import re
import selectors
import signal
import subprocess
import time
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

LONGEST_LINE = 8192  # bytes; what is longer is cut, so that memory is bounded
LONGEST_REPORT = 16 << 20
REPORT_FD = "@REPORT_FD@"
GRACE = 3.0  # seconds in which a process that has reported may end by itself

WARNING = re.compile(r"The global interpreter lock \(GIL\) has been enabled to load module '([^']{1,300})'")
# Told by `python -v` of every offender, while the warning names only the first of a process.
VERBOSE = re.compile(r"# loading module ['\"]([^'\"]{1,300})['\"], which requires the GIL")
NOISE = re.compile(r"(import |# |Python \d|\[GCC|\[Clang|Type \"help\"|Processing (user|global) site-packages|Adding directory: )")


class Outcome(NamedTuple):
    """How a process went."""

    code: Optional[int]  # negative: the signal that ended it
    end: str  # itself | late: killed at the end of its time | cut: at the end of the time for all | lingered: killed after its report
    seconds: float
    report: Optional[Dict[str, Any]]
    offenders: List[str]  # modules that the interpreter's words on stderr name
    verbose: bool  # a Python that says what it loads was seen there
    stdout: List[str]
    stderr: List[str]
    error: Optional[str] = None  # it could not be started
    digest: str = ""  # of all that it wrote on stdout


class Budget:
    """The time for everything. Being told to stop is the same as its end."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        return self.end - time.monotonic()

    def stop(self, *_: Any) -> None:
        self.end = time.monotonic()


class Lines:
    """The last lines of a stream, and on the way what the interpreter said in it."""

    def __init__(self, keep: int, width: int) -> None:
        self.rest = b""
        self.width = width
        self.last: Deque[str] = collections.deque(maxlen=keep)
        self.offenders: List[str] = []
        self.verbose = False
        self.digest = hashlib.sha256()

    def feed(self, data: bytes) -> None:
        self.digest.update(data)
        *lines, rest = (self.rest + data).split(b"\n")
        self.rest = rest[:LONGEST_LINE]
        for line in lines:
            self.line(line[:LONGEST_LINE].decode("utf-8", "replace"))

    def line(self, text: str) -> None:
        for pattern in (WARNING, VERBOSE):
            found = pattern.search(text)
            if found and found.group(1) not in self.offenders and len(self.offenders) < 200:
                self.offenders.append(found.group(1))
        if NOISE.match(text):
            self.verbose = True
        elif text.strip():
            self.last.append(text[: self.width])

    def end(self) -> None:
        self.line(self.rest.decode("utf-8", "replace"))
        self.rest = b""


def environment(gil: Optional[str] = None) -> Dict[str, str]:
    """Ours, but with a GIL that is free to come on, and with words about it that no earlier setting hides."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHON_GIL", "PYTHONINSPECT")}
    filters = [env.get("PYTHONWARNINGS", ""), "always:The global interpreter lock:RuntimeWarning"]  # the last one wins
    env["PYTHONWARNINGS"] = ",".join(entry for entry in filters if entry)
    env.update(PYTHONVERBOSE="1", PYTHONDONTWRITEBYTECODE="1", PYTHONFAULTHANDLER="1")
    if gil is not None:
        env["PYTHON_GIL"] = gil
    return env


def nothing(_: int) -> None:
    """Nobody wants to know."""


def run(
    argv: Sequence[str],
    budget: Budget,
    timeout: float,
    env: Dict[str, str],
    cwd: Optional[str],
    keep: int = 20,
    width: int = 300,
    started: Callable[[int], None] = nothing,
) -> Outcome:
    """Run a command to its end or to the end of its time. REPORT_FD in an argument becomes the number of a pipe for its report; `started`
    is told the process' id, which is its session's too."""
    begin = time.monotonic()
    if budget.left() <= 0:
        return Outcome(None, "itself", 0.0, None, [], False, [], [], "the time for all checks was over")
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            [argument.replace(REPORT_FD, str(writing)) for argument in argv],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=(writing,), start_new_session=True, env=env, cwd=cwd,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        os.close(reading)
        return Outcome(None, "itself", 0.0, None, [], False, [], [], str(error)[:width])
    finally:
        os.close(writing)
    out, err, report = Lines(keep, width), Lines(keep, width), bytearray()
    with selectors.DefaultSelector() as selector:
        for pipe, sink in ((process.stdout.fileno(), out.feed), (process.stderr.fileno(), err.feed), (reading, report.extend)):
            os.set_blocking(pipe, False)
            selector.register(pipe, selectors.EVENT_READ, sink)
        started(process.pid)
        end, last = follow(process, selector, report, budget, begin + timeout)
    for pipe in (process.stdout, process.stderr):
        pipe.close()
    os.close(reading)
    for lines in (out, err):
        lines.end()
    seconds = round(last - begin, 3)
    said = parsed(report)
    return Outcome(
        process.returncode, end, seconds, said, err.offenders, err.verbose, list(out.last), list(err.last), digest=out.digest.hexdigest()
    )


def reap() -> None:
    """Wait for what has lost its parents: whoever is the first process of a container inherits it, and its CPU time counts only then. Not
    while other children run."""
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return


def follow(
    process: "subprocess.Popen[bytes]", selector: selectors.BaseSelector, report: bytearray, budget: Budget, limit: float
) -> Tuple[str, float]:
    """Read what the process says until it has ended, and end it when it is late. Returns how it ended, and when."""
    told, end = False, "itself"
    while process.poll() is None:
        drain(selector, 0.02)
        if not told and report.endswith(b"\n"):  # threads that an import left running may keep it from ending
            told, limit = True, min(limit, time.monotonic() + GRACE)
        if len(report) > LONGEST_REPORT or time.monotonic() > limit or budget.left() <= 0:
            end = "lingered" if told else "late" if budget.left() > 0 else "cut"
            break
    # What it started goes with it. What left its group for a session of its own is out of reach, and is not waited for.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
    ended = time.monotonic()
    while drain(selector, 0.1) and time.monotonic() < ended + 1:
        pass
    return end, ended


def drain(selector: selectors.BaseSelector, seconds: float) -> bool:
    """Pass on what there is to read. False when there is nothing."""
    if not selector.get_map():
        time.sleep(seconds)
        return False
    ready = selector.select(seconds)
    for key, _ in ready:
        data = os.read(key.fd, 65536)
        if data:
            key.data(data)
        else:
            selector.unregister(key.fd)
    return bool(ready)


def parsed(report: bytearray) -> Optional[Dict[str, Any]]:
    """The report, if the process got so far as to write it whole."""
    try:
        value = json.loads(bytes(report))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
