"""Write documents/*.log anew: what the inspection prints for images as they are met. Once per interpreter:

PYTHON tests/preflight_image/documents.py

A free-threaded interpreter writes all of them but `standard`, which needs one with the GIL.
"""

import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path[0:0] = [str(HERE), str(HERE.parent.parent / "src" / "preflight" / "probe")]

import bundle  # noqa: E402
import extensions  # noqa: E402

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
PYTHON = sys.executable


def write(name, files, options, env=None, silent=()):
    """One image: a folder with these files, and with extensions that do not declare support for free threading."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        for file, text in files.items():
            (folder / file).write_text(text)
        for module in silent:
            extensions.build(folder, module, extensions.SILENT, SUFFIX)
        argument = json.dumps({"extensions": False, "limits": {"listed": 2}, **options})
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **(env or {})}
        command = [PYTHON, "-I", "-c", bundle.script(), argument]
        done = subprocess.run(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        text = done.stdout.replace(place, "/app").replace(sys.prefix, "/usr/local")
        (HERE / "documents" / f"{name}.log").write_text(text)


app = {"imports": ["app"]}
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    write("clean", {"app.py": "print('hello')\n"}, {**app, "warmup": [PYTHON, "-c", "import app"]})
    write("gil", {"app.py": "import first\nimport second\n", "other.py": ""}, {"imports": ["app", "other"]}, silent=["first", "second"])
    write("warmup-gil", {"app.py": "", "warm.py": "import first\n"}, {**app, "warmup": [PYTHON, "warm.py"]}, silent=["first"])
    write("crash", {"app.py": "import os\nos.abort()\n"}, app)
    write("hang", {"app.py": "import time\ntime.sleep(60)\n"}, {**app, "timeouts": {"import": 1.5}})
    write("missing", {}, app)
    write("forced", {"app.py": ""}, app, env={"PYTHON_GIL": "0"})
    write("unseen", {"app.py": ""}, {**app, "warmup": ["/bin/true"]})
    write("bad-options", {}, {"importz": []})
    write("no-python", {}, {"python": "/no/such/python"})
else:
    write("standard", {"app.py": ""}, app)
