"""Print the inspection as one script: `python3 bundle.py > script; python3 -I -c "$(cat script)" '{"imports": ["app"]}'`.

The parts become strings, for which they may not contain three single quotes, and are run as modules in this order.
"""

import pathlib

HERE = pathlib.Path(__file__).parent
HEAD = "import sys, types\nSOURCES = {}\n"
TAIL = """
for name in "children", "objects", "inspect_image":
    module = sys.modules[name] = types.ModuleType(name)
    module.CHILD = SOURCES["child"]
    exec(compile(SOURCES[name], name + ".py", "exec"), module.__dict__)
sys.modules["inspect_image"].main(sys.argv[1] if len(sys.argv) > 1 else "{}")
"""


def script() -> str:
    parts = [f"SOURCES['{name}'] = r'''{(HERE / name).with_suffix('.py').read_text()}'''\n" for name in ("child", "children", "objects", "inspect_image")]
    return HEAD + "".join(parts) + TAIL


if __name__ == "__main__":
    print(script(), end="")
