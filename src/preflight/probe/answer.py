"""What all checks have in common: options come in as one JSON argument, the answer is one JSON document, the last line of stdout, after
a line with MARKER.
"""

import json
import signal
import traceback
from typing import Any, Callable, Dict

from children import Budget

MARKER = "--- freethread-rollout preflight ---"
FORMAT = 1
Json = Dict[str, Any]


def merged(given: Json, defaults: Json) -> Json:
    """The options with their defaults. What is not known is an error: a wish that is not heard is worse than none."""
    options = {**defaults}
    for key, value in given.items():
        if key not in defaults:
            raise ValueError(f"unknown option {key!r}; there are {', '.join(defaults)}")
        default = defaults[key]
        kinds = (int, float) if isinstance(default, (int, float)) else (str, type(None)) if default is None else type(default)
        if not isinstance(value, kinds):
            raise ValueError(f"option {key!r} is {value!r}, where {default!r} is the default")
        options[key] = merged(value, default) if isinstance(default, dict) else value
    return options


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def no_core_files() -> None:
    """A crash of a child must not fill a volume."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    except (ImportError, OSError, ValueError):
        pass


def answer(argument: str, defaults: Json, check: Callable[[Json, Budget], Json]) -> None:
    """Run a check with the options of `argument` and print what it says. Being told to stop is the end of its time."""
    try:
        options = merged(json.loads(argument), defaults)
        budget = Budget(options["timeouts"]["total"])
        signal.signal(signal.SIGTERM, budget.stop)  # what is known by then is told
        no_core_files()
        document = {"format": FORMAT, **check(options, budget)}
    except Exception:
        document = {"format": FORMAT, "error": "the inspection failed", "detail": traceback.format_exc().splitlines()[-20:]}
    print(f"{MARKER}\n{json.dumps(document)}", flush=True)
