"""Looks at a free-threaded image from the inside: what is installed, what does it import, and does the GIL stay off?

One JSON argument holds the options (OPTIONS has them all), one JSON document is the answer: the last line of stdout, after a line
with MARKER. Everything that belongs to the image runs in processes of their own (children.py, child.py). Nothing is written.

All modules that turn the GIL on are found, and not only the first, which is the only one the interpreter warns of: `python -v`
names each. Where an import ended before its time because the GIL was on, it is repeated with the GIL forced off, where nothing is
named, and each extension that was loaded there is then imported alone.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional

import children
import objects
from answer import Json, answer, signal_name
from children import Budget, Outcome

OPTIONS: Dict[str, Any] = {
    "python": None,  # the application's interpreter, for images with several; else the one that runs this
    "path": [],  # more folders to import from; the working directory is one already
    "workingDir": None,
    "imports": [],
    "warmup": [],  # a command and its arguments
    "workloadCommand": [],  # the container's own, only to see whether it says -X gil
    "extensions": True,  # import each extension module alone
    "jobs": 2,
    "timeouts": {"import": 60, "extension": 30, "warmup": 300, "total": 900},
    "limits": {"distributions": 1000, "objects": 2000, "extensions": 600, "lines": 20, "width": 300, "listed": 400, "loaded": 3000},
}


class Inspection:
    """The options, the interpreter's facts, and what was seen of each extension so far."""

    def __init__(self, options: Json, budget: Budget) -> None:
        self.options = options
        self.budget = budget
        self.limits: Dict[str, int] = options["limits"]
        self.timeouts: Dict[str, float] = options["timeouts"]
        self.python = options["python"] or sys.executable or "python3"
        self.facts: Json = {}
        self.seen_alone: Dict[str, Json] = {}

    def child(self, timeout: float, gil: Optional[str] = None, **told: Any) -> Outcome:
        """Run child.py. Its number of a pipe is known only when it starts."""
        told.update(fd=0, lines=self.limits["lines"], path=self.options["path"], hang=max(0.5, timeout * 0.9))
        argument = json.dumps(told).replace('"fd": 0', '"fd": ' + children.REPORT_FD)
        argv = [self.python, "-X", "faulthandler", "-c", CHILD, argument]
        return self.run(argv, timeout, gil)

    def run(self, argv: List[str], timeout: float, gil: Optional[str] = None) -> Outcome:
        env = children.environment(gil)
        return children.run(argv, self.budget, timeout, env, self.options["workingDir"], self.limits["lines"], self.limits["width"])

    def imports(self, names: List[str], timeout: float, gil: Optional[str] = None) -> Outcome:
        return self.child(timeout, gil, mode="import", modules=names, limit=self.limits["loaded"])

    def alone(self, module: str) -> Json:
        """An extension module imported in a process of its own, once."""
        if module not in self.seen_alone:
            outcome = self.imports([module], self.timeouts["extension"])
            self.seen_alone[module] = {**ended(outcome), **declared(self.facts, module, outcome)}
        return self.seen_alone[module]


def ended(outcome: Outcome) -> Json:
    """How a process went, in words: ok, error, crash, hang or skipped, with the last lines that say why."""
    code, report = outcome.code, outcome.report
    result: Json = {"status": "ok", "seconds": outcome.seconds}
    if outcome.error is not None:
        return {**result, "status": "skipped" if "time for all" in outcome.error else "error", "detail": [outcome.error]}
    if outcome.end == "late":
        result.update(status="hang", detail=outcome.stderr)
    elif outcome.end == "cut":  # nobody's fault
        return {**result, "status": "skipped", "detail": ["the time for all checks was over"]}
    elif outcome.end == "lingered":
        result.update(note="it did not end by itself after the imports")
    elif code is not None and code < 0:
        result.update(status="crash", signal=signal_name(-code), detail=outcome.stderr)
    elif code:
        result.update(status="error", exitCode=code, detail=outcome.stderr)
    if report is not None and report.get("errors"):
        details = [line for name, lines in sorted(report["errors"].items()) for line in lines]
        result.update(status="error" if result["status"] == "ok" else result["status"], detail=details)
        result["failed"] = sorted(report["errors"])
    elif report is None and result["status"] == "ok":
        result.update(status="error", detail=outcome.stderr or ["the process ended during the import, with exit code 0"])
    return result


def named(outcome: Outcome) -> List[str]:
    """The modules that turned the GIL on. Without the interpreter's words, on a redirected stderr, at least the one at which it came on."""
    report = outcome.report or {}
    if outcome.offenders or not report.get("gilAfter"):
        return list(outcome.offenders)
    return [name for name, (_, _, before, after) in report["loaded"].items() if after and not before][:1]


def declared(facts: Json, module: str, outcome: Outcome) -> Json:
    """Does the extension declare that it can do without the GIL? Seen when it is loaded, and otherwise unknown."""
    report = outcome.report or {}
    loaded = report.get("loaded", {}).get(module)
    if not facts.get("freeThreadedBuild"):
        return {"declares": "unknown", "why": "an interpreter with the GIL does not ask"}
    if module in named(outcome):
        return {"declares": "no", "why": "the interpreter enabled the GIL for it"}
    if loaded is None or module in report.get("errors", {}):
        return {"declares": "unknown", "why": "it was not loaded"}
    if not loaded[3] or report.get("gilAfter") is False:
        return {"declares": "yes", "why": "the GIL stayed off when it was loaded"}
    if outcome.verbose and outcome.offenders:
        return {"declares": "yes", "why": "the interpreter enabled the GIL for " + ", ".join(outcome.offenders[:5])}
    return {"declares": "unknown", "why": "the GIL was on, and the interpreter did not say for which module"}


def gil_of(outcome: Outcome, status: str) -> str:
    """off needs a whole run that was seen; on needs one sign."""
    after = (outcome.report or {}).get("gilAfter")
    if outcome.offenders or after:
        return "on"
    return "off" if after is False and status == "ok" else "unknown"


def application(run: Inspection, names: List[str]) -> Json:
    """Import modules in one process, and find every extension that turns the GIL on there."""
    outcome = run.imports(names, run.timeouts["import"])
    result: Json = {"modules": names, **ended(outcome)}
    result["gil"] = gil_of(outcome, result["status"])
    loaded = (outcome.report or {}).get("loaded", {})
    offenders = named(outcome)
    complete = result["status"] == "ok"
    if not run.facts.get("freeThreadedBuild"):
        result["gilEnabledBy"] = []
        return {**result, "complete": complete}
    suspects: List[str] = []
    if result["gil"] == "on" and not complete:
        # Some applications refuse to start with the GIL on: what comes after that is seen only with the GIL forced off.
        forced = run.imports(names, run.timeouts["import"], gil="0")
        complete = ended(forced)["status"] == "ok"
        loaded = {**(forced.report or {}).get("loaded", {}), **loaded}
        suspects = list(loaded)
    elif result["gil"] == "on" and not (outcome.verbose and outcome.offenders):
        suspects = list(loaded)
    for module in suspects[: run.limits["extensions"]]:
        if module not in offenders and run.alone(module)["declares"] == "no":
            offenders.append(module)
    # Whoever turned the GIL on without being named is somebody still.
    complete = complete and not (result["gil"] == "on" and not offenders) and len(suspects) <= run.limits["extensions"]
    result["gilEnabledBy"] = [offender(module, loaded) for module in offenders]
    return {**result, "complete": complete}


def offender(module: str, loaded: Json) -> Json:
    file, importer = (loaded.get(module) or [None, None])[:2]
    return {"module": module, "file": file, "importedBy": importer}


def warm_up(run: Inspection) -> Optional[Json]:
    """Run the warm-up command. Its processes are seen only by what they say on stderr."""
    command = run.options["warmup"]
    if not command:
        return None
    outcome = run.run(command, run.timeouts["warmup"])
    result = ended(outcome._replace(report={}))
    result.update(gil="on" if outcome.offenders else "unknown", gilEnabledBy=[offender(module, {}) for module in outcome.offenders])
    result["stdout"] = outcome.stdout
    forced = any("PYTHON_GIL" in argument or "gil=" in argument for argument in command)
    if result["gil"] == "on":
        return result
    if not run.facts.get("freeThreadedBuild"):
        result["why"] = "the interpreter is no free-threaded build"
    elif result["status"] != "ok":
        result["why"] = "the command did not end well"
    elif forced:
        result["why"] = "the command sets the GIL itself, which hides what would enable it"
    elif not outcome.verbose:
        result["why"] = "no Python said on stderr what it loads: another program, python -E or -I, or a redirected stderr"
    else:
        result.update(gil="off", why="of the Python processes whose stderr was seen, none enabled it")
    return result


def extensions(run: Inspection) -> Json:
    """Every shared object, and each extension module imported alone."""
    found, count, whole = objects.shared_objects(run.facts, run.limits["objects"])
    chosen = [e for e in found if e["kind"] == "extension" and e["module"] and not e["ownTest"]]
    if run.options["extensions"]:
        modules = list(dict.fromkeys(e["module"] for e in chosen))[: run.limits["extensions"]]
        with ThreadPoolExecutor(max(1, run.options["jobs"])) as pool:
            list(pool.map(run.alone, modules))
    for entry in found:
        entry.update(seen_of(run, entry))
    counts: Dict[str, int] = {}
    for entry in found:
        key = f"{entry['kind']} {entry['tag']} {entry['declares']}"
        counts[key] = counts.get(key, 0) + 1
    rank = {"no": 0, "unknown": 1, "yes": 2}
    worth = [e for e in found if e["kind"] != "library"] + [e for e in found if e["kind"] == "library"]
    worth.sort(key=lambda e: (e["kind"] == "library", e.get("status") in (None, "ok"), rank[e["declares"]]))
    listed = worth[: run.limits["listed"]]
    return {"found": count, "counts": counts, "listed": listed, "cut": count - len(listed), "notSearched": whole}


def seen_of(run: Inspection, entry: Json) -> Json:
    """What is known of a shared object: by import where it was imported, else why not."""
    if entry["kind"] == "library":
        return {"declares": "unknown", "why": "no extension module: it has no init function of its name"}
    if not entry["module"]:
        return {"declares": "unknown", "why": "this interpreter would not load a file of that name"}
    if entry["ownTest"]:
        return {"declares": "unknown", "why": "one of the interpreter's own tests: not imported"}
    seen = run.seen_alone.get(entry["module"])
    if seen is None:
        return {"declares": "unknown", "why": "not imported"}
    return seen


def forced_gil(run: Inspection) -> Json:
    """A GIL that is forced on or off where the application runs. Off hides which dependency needs it, on makes all of this void."""
    value = os.environ.get("PYTHON_GIL")
    command = " ".join(run.options["workloadCommand"])
    by = None
    for setting in "0", "1":
        if f"-X gil={setting}" in command or f"-Xgil={setting}" in command:
            value, by = setting, "-X gil"  # it goes before the variable
    by = by or ("PYTHON_GIL" if value in ("0", "1") else None)
    return {"forced": {"0": "off", "1": "on"}.get(value or ""), "by": by}


def inspect(run: Inspection) -> Json:
    facts = run.child(run.timeouts["import"], mode="facts", limit=run.limits["distributions"])
    document: Json = {"python": None, "gil": forced_gil(run)}
    if facts.report is None:
        return {**document, "error": "the interpreter did not start", "detail": ended(facts)}
    run.facts = facts.report
    installed = run.facts.pop("distributions")
    count = run.facts.pop("distributionsFound")
    document["python"] = run.facts
    document["gil"]["enabledAtStart"] = run.facts["gilEnabled"]
    document["distributions"] = {"listed": installed, "found": count, "cut": count - len(installed)}
    names = run.options["imports"]
    document["imports"] = [application(run, [name]) for name in names]
    document["together"] = application(run, names) if len(names) > 1 else None
    document["warmup"] = warm_up(run)
    document["sharedObjects"] = extensions(run)
    document["gilEnabledBy"] = everyone(document)
    document["stopped"] = run.budget.left() <= 0  # some of it was skipped
    return document


def everyone(document: Json) -> List[Json]:
    """Each module that turned the GIL on in the application, once, with where it was seen."""
    places = [("import " + " ".join(part["modules"]), part) for part in document["imports"]]
    places += [("all imports together", document["together"]), ("warm-up", document["warmup"])]
    found: Dict[str, Json] = {}
    for place, part in places:
        for entry in (part or {}).get("gilEnabledBy", []):
            known = found.setdefault(entry["module"], {**entry, "seenIn": []})
            known["seenIn"].append(place[:200])
            known["file"] = known["file"] or entry["file"]
    for entry in document["sharedObjects"]["listed"]:
        if entry["module"] in found and entry["declares"] == "no":
            found[entry["module"]]["file"] = found[entry["module"]]["file"] or entry["file"]
    return list(found.values())


def check(options: Json, budget: Budget) -> Json:
    return inspect(Inspection(options, budget))


def main(argument: str) -> None:
    answer(argument, OPTIONS, check)
