"""Runs commands of the application many times, and says which fail, how often, and where in the code.

Free of the GIL, threads race for real: what a run finds depends on luck, so each command is run as often as was asked for. A crash, a
hang, another exit code than expected, and output that differs from run to run where it may not, are failures. Each Python that a
command starts switches threads as often as it can, and prints its stacks when it dies or hangs.
"""

import os
import re
import signal
import sysconfig
from typing import Any, Dict, List

import children
from answer import Json, answer, signal_name
from children import Budget, Outcome

OPTIONS: Dict[str, Any] = {
    "commands": [],  # each with name, command, exitCode, sameOutput, runs and timeout
    "threads": 8,
    "folder": "/tmp",  # where something of ours may be written
    "workingDir": None,
    "timeouts": {"total": 900},
}
ENOUGH = 3  # failures of one command; more of them say nothing new
LINES, WIDTH = 120, 300
FRAMES, THREADS = 4, 4  # innermost calls of a stack, and stacks
SWITCH_INTERVAL = 1e-6  # s; what an interpreter with the GIL takes as "at every chance"
START = 5.0  # s before the end of a run's time its stacks are printed, but not in its first half: interpreters take a while to start
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)

# Found before the image's own sitecustomize, which runs as ever afterwards.
SITE = """import sys
sys.setswitchinterval({interval})
sys.path[:] = [entry for entry in sys.path if entry != {folder!r}]
mine = sys.modules.pop("sitecustomize")
try:
    import sitecustomize
except ImportError:
    sys.modules["sitecustomize"] = mine
import faulthandler
faulthandler.enable()
faulthandler.dump_traceback_later({hang}, exit=False)
"""


def environment(options: Json, hang: float) -> Dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHON_GIL", "PYTHONINSPECT")}
    folder = os.path.abspath(os.path.join(options["folder"], "site"))
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "sitecustomize.py"), "w", encoding="utf-8") as file:
        file.write(SITE.format(interval=SWITCH_INTERVAL, folder=folder, hang=hang))
    env["PYTHONPATH"] = os.pathsep.join(entry for entry in (folder, env.get("PYTHONPATH", "")) if entry)
    filters = [env.get("PYTHONWARNINGS", ""), "always:The global interpreter lock:RuntimeWarning"]
    env["PYTHONWARNINGS"] = ",".join(entry for entry in filters if entry)
    env.update(PYTHONFAULTHANDLER="1", PYTHONDONTWRITEBYTECODE="1", STRESS_THREADS=str(options["threads"]))
    return env


STACK = re.compile(r"(Current thread|Thread) 0x")
FRAME = re.compile(r'\s*File "(.{1,300}?)", line (\d+),? in (.{1,200})')
# How every thread begins.
BEGIN = re.compile(r".*threading\.py:\d+ in (run|_bootstrap|_bootstrap_inner)$")


def stacks(lines: List[str]) -> List[str]:
    """Each thread's innermost calls, innermost first, as the fault handler printed them; else those of the last traceback."""
    found: List[List[str]] = []
    traceback: List[str] = []
    inside = False
    for line in lines:
        frame = FRAME.match(line)
        if STACK.match(line):
            inside = True
            found.append([])
        elif line.startswith("Traceback (most recent call last)"):
            inside, traceback = False, []
        elif frame:
            file = "/".join(frame.group(1).split("/")[-2:])
            (found[-1] if inside else traceback).append(f"{file}:{frame.group(2)} in {frame.group(3).strip()}")
        elif line.startswith(("Extension modules:", "Fatal Python error:")):
            inside = False
    if not any(found):
        found = [traceback[::-1]]
    told = [[call for call in calls if not BEGIN.match(call)] or calls[:1] for calls in found if calls]
    return list(dict.fromkeys(" < ".join(calls[:FRAMES]) for calls in told))[:THREADS]


def words(outcome: Outcome) -> List[str]:
    """The lines that say best why: those of a failed assertion in pytest's report, else the last one."""
    asserted = [line[2:].strip() for line in outcome.stdout if line.startswith("E  ")]
    fatal = [line for line in outcome.stderr if line.startswith("Fatal Python error:")]
    return asserted[:3] or fatal[:1] or outcome.stderr[-1:] or outcome.stdout[-1:]


def failure(outcome: Outcome, command: Json, first: str) -> Json:
    """How a run failed; nothing where it did not. `first` is the digest of the first run's output."""
    code = outcome.code
    number = -code if code is not None and code < 0 else code - 128 if code and code - 128 in CRASHES else 0
    if outcome.error is not None:
        return {"status": "error", "detail": [outcome.error], "stack": []}
    if outcome.end == "late":
        result: Json = {"status": "hang"}
    elif number:
        result = {"status": "crash", "signal": signal_name(number)}
    elif code != command["exitCode"]:
        result = {"status": "error", "exitCode": code}
    elif command["sameOutput"] and outcome.digest != first:
        return {"status": "differs", "detail": outcome.stdout[-3:], "stack": []}
    else:
        return {}
    detail = [] if result["status"] == "hang" else words(outcome)
    return {**result, "detail": detail, "stack": stacks(outcome.stderr) or stacks(outcome.stdout)}


def says_more(found: Json, first: Json) -> bool:
    """The same end, now with its stack: where two threads crash at once, the second ends the process while the first prints."""
    return bool(found["status"] == first["status"] and found["stack"] and not first["stack"])


def stress(options: Json, budget: Budget, command: Json) -> Json:
    result: Json = {"name": command["name"], "planned": command["runs"], "runs": 0, "failed": 0, "seconds": 0.0}
    result.update(first=None, gilEnabledBy=[])
    limit = command["timeout"]
    env = environment(options, max(limit / 2, limit - START))
    digest = ""
    while result["runs"] < command["runs"] and result["failed"] < ENOUGH:
        outcome = children.run(command["command"], budget, limit, env, options["workingDir"], LINES, WIDTH)
        children.reap()
        if budget.left() <= 0:
            break  # whatever became of it, it was not for lack of trying
        result["runs"] += 1
        result["seconds"] = round(result["seconds"] + outcome.seconds, 3)
        result["gilEnabledBy"] = list(dict.fromkeys(result["gilEnabledBy"] + outcome.offenders))[:20]
        digest = digest or outcome.digest
        found = failure(outcome, command, digest)
        if found:
            result["failed"] += 1
            if result["first"] is None or says_more(found, result["first"]):
                result["first"] = {"run": result["runs"], **found}
        if outcome.error is not None:
            break
    return result


def check(options: Json, budget: Budget) -> Json:
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    commands = [stress(options, budget, command) for command in options["commands"]]
    return {"freeThreadedBuild": free_threaded, "commands": commands, "stopped": budget.left() <= 0}


def main(argument: str) -> None:
    answer(argument, OPTIONS, check)
