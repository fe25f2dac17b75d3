"""Print a check as one script: `python3 bundle.py inspect_image > script; python3 -I -c "$(cat script)" '{"imports": ["app"]}'`.

The parts become strings, for which they may not contain three single quotes, and are run as modules in this order.
"""

import pathlib
import sys
from typing import List

HERE = pathlib.Path(__file__).parent
PARTS = {
    "inspect_image": ["child", "children", "answer", "objects", "inspect_image"],
    "stress": ["children", "answer", "stress"],
    "benchmark": ["children", "answer", "benchmark"],
}
HEAD = "import sys, types\nSOURCES = {}\n"
TAIL = """
CHILD = SOURCES.pop("child", None)
for name in SOURCES:
    module = sys.modules[name] = types.ModuleType(name)
    module.CHILD = CHILD
    exec(compile(SOURCES[name], name + ".py", "exec"), module.__dict__)
module.main(sys.argv[1] if len(sys.argv) > 1 else "{}")
"""


def part(name: str) -> str:
    return f"SOURCES['{name}'] = r'''{(HERE / name).with_suffix('.py').read_text()}'''\n"


def script(check: str = "inspect_image") -> str:
    parts: List[str] = [part(name) for name in PARTS[check]]
    return HEAD + "".join(parts) + TAIL


if __name__ == "__main__":
    print(script(*sys.argv[1:2]), end="")
