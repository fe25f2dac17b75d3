"""Measures one round of a benchmark: the same work on both images, in turns, A B B A, so that what drifts evenly weighs on both.

It runs in two containers of one pod, which have the same node, the same limits and a folder in common. Each waits for its turns, of
which nothing takes CPU, and leaves a file with what it measured; the one of the free-threaded image (the leader) prints them all.
"""

import json
import os
import statistics
import threading
import time
from typing import Any, Dict, List, Optional

import children
from answer import Json, answer, signal_name
from children import Budget, Outcome

STANDARD, FREE_THREADED = "standard", "free-threaded"
OPTIONS: Dict[str, Any] = {
    "image": FREE_THREADED,  # whose container this is
    "command": [],
    "first": STANDARD,  # whose turn is the first: from round to round the other one's
    "folder": "/tmp",  # the one that both have
    "workingDir": None,
    "timeouts": {"run": 300, "total": 1500},
}
LINES, WIDTH = 20, 4000
NUMBERS = 20  # of the command's own
PAUSE = 0.02  # s between two looks whether it is one's turn
SAMPLE = 0.2  # s between two looks at the memory
SLACK = 30.0  # s, beyond the other one's run, until it counts as lost


class Memory:
    """What the processes of a session have in memory, looked at a few times a second. Pages that several share count once in all."""

    def __init__(self) -> None:
        self.samples: List[int] = []
        self.over = threading.Event()
        self.thread: Optional[threading.Thread] = None

    def begin(self, session: int) -> None:
        self.thread = threading.Thread(target=self.look, args=(session,), daemon=True)
        self.thread.start()

    def look(self, session: int) -> None:
        while not self.over.wait(SAMPLE):
            size = sum(resident(pid) for pid in processes(session))
            if size:
                self.samples.append(size)

    def end(self) -> None:
        self.over.set()
        if self.thread is not None:
            self.thread.join()

    def peak(self) -> Optional[int]:
        return max(self.samples, default=None)

    def settled(self) -> Optional[int]:
        """What it comes to in the end: the median of the last half."""
        return int(statistics.median(self.samples[len(self.samples) // 2 :])) if self.samples else None


def processes(session: int) -> List[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            # The name in parentheses may hold anything; the session is the fourth field after it.
            if int(read(f"/proc/{name}/stat").rpartition(b")")[2].split()[3]) == session:
                found.append(int(name))
        except (OSError, ValueError, IndexError):
            continue
    return found


def read(file: str) -> bytes:
    """A short file. Without Python's own file objects: on 3.13t the end of one takes a tenth of a second while all processors are busy."""
    number = os.open(file, os.O_RDONLY)
    try:
        return os.read(number, 65536)
    finally:
        os.close(number)


def resident(pid: int) -> int:
    """Its share of memory in bytes; where nobody may see that, all that it has in memory."""
    for file, key in (("smaps_rollup", b"Pss:"), ("status", b"VmRSS:")):
        try:
            lines = read(f"/proc/{pid}/{file}").splitlines()
            return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))
        except (OSError, StopIteration, ValueError):
            continue
    return 0


def processor_time() -> float:
    """CPU seconds of all children that have ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def numbers(stdout: List[str]) -> Dict[str, float]:
    """The command's own: its last line of output, if that is a JSON object."""
    try:
        value = json.loads(stdout[-1]) if stdout else None
    except ValueError:
        return {}
    if not isinstance(value, dict):
        return {}
    pairs = ((str(key)[:60], number) for key, number in value.items() if isinstance(number, (int, float)) and not isinstance(number, bool))
    return {key: float(number) for key, number in list(pairs)[:NUMBERS] if 0 <= number < 1e18}


def measure(options: Json, budget: Budget, image: str) -> Json:
    """One run."""
    memory, before = Memory(), processor_time()
    env = {key: value for key, value in os.environ.items() if key != "PYTHONINSPECT"}
    env["BENCHMARK_IMAGE"] = image
    timeout, cwd = options["timeouts"]["run"], options["workingDir"]
    outcome = children.run(options["command"], budget, timeout, env, cwd, LINES, WIDTH, started=memory.begin)
    memory.end()
    children.reap()
    result: Json = {"image": image, "status": status(outcome), "seconds": outcome.seconds, "cpu": round(processor_time() - before, 3)}
    result.update(peak=memory.peak(), settled=memory.settled(), numbers=numbers(outcome.stdout), gilEnabledBy=outcome.offenders[:20])
    if result["status"] != "ok":
        code = outcome.code
        result["detail"] = [line[:300] for line in ([outcome.error] if outcome.error else outcome.stderr[-3:] or outcome.stdout[-3:])]
        result["exitCode"] = code if code is not None and code > 0 else None
        result["signal"] = signal_name(-code) if code is not None and code < 0 else None
    return result


def status(outcome: Outcome) -> str:
    if outcome.error is not None:
        return "skipped" if "time for all" in outcome.error else "error"
    if outcome.end in ("late", "cut"):
        return "hang" if outcome.end == "late" else "skipped"  # that the round had no more time is nobody's fault
    return "ok" if outcome.code == 0 else "crash" if outcome.code is not None and outcome.code < 0 else "error"


class Folder:
    """What the two containers leave for each other."""

    def __init__(self, path: str, image: str, budget: Budget) -> None:
        self.path, self.image, self.budget = path, image, budget

    def leave(self, name: str, value: Any) -> None:
        """Whole or not at all."""
        file = os.path.join(self.path, name)
        new = f"{file}.{self.image}"  # both may say that it is over
        with open(new, "w", encoding="utf-8") as text:
            json.dump(value, text)
        os.replace(new, file)

    def wait(self, name: str, seconds: float) -> Any:
        """What the other one left; nothing if it does not in time, or has ended."""
        file, limit = os.path.join(self.path, name), time.monotonic() + seconds
        while time.monotonic() < limit and self.budget.left() > 0:
            over = os.path.exists(os.path.join(self.path, "over"))
            if os.path.exists(file):
                with open(file, encoding="utf-8") as left:
                    return json.load(left)
            if over:
                return None
            time.sleep(PAUSE)
        return None


def turns(options: Json, budget: Budget) -> List[Json]:
    """The round, as far as it came. Ends with the first run that did not go well."""
    ours, folder = options["image"], Folder(options["folder"], options["image"], budget)
    other = STANDARD if ours == FREE_THREADED else FREE_THREADED
    second = other if options["first"] == ours else ours
    order = [options["first"], second, second, options["first"]]
    runs: List[Json] = []
    folder.leave(f"ready-{ours}", True)
    if folder.wait(f"ready-{other}", budget.left()) is None:
        return runs
    for turn, image in enumerate(order):
        if image == ours:
            run = measure(options, budget, ours)
            folder.leave(f"turn-{turn}", run)
        else:
            run = folder.wait(f"turn-{turn}", options["timeouts"]["run"] + SLACK)
        if run is None:
            break
        runs.append(run)
        if run["status"] != "ok":
            break
    folder.leave("over", True)
    return runs


def check(options: Json, budget: Budget) -> Json:
    return {"runs": turns(options, budget), "stopped": budget.left() <= 0}


def main(argument: str) -> None:
    answer(argument, OPTIONS, check)
