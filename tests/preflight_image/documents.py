"""Write documents/*.log anew: what the checks print for images as they are met. Once per interpreter:

PYTHON tests/preflight_image/documents.py

A free-threaded interpreter writes all of them but the `standard` ones, which need one with the GIL.
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


def write(name, files, options, env=None, silent=(), check="inspect_image", beside=None):
    """One image: a folder with these files, and with extensions that do not declare support for free threading. `beside`: options of the
    container beside it."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        for file, text in files.items():
            (folder / file).write_text(text)
        for module in silent:
            extensions.build(folder, module, extensions.SILENT, SUFFIX)
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **(env or {})}
        command = [PYTHON, "-I", "-c", bundle.script(check)]
        other = None
        if beside is not None:
            other = subprocess.Popen(command + [json.dumps(beside)], cwd=place, env=environment, stdout=subprocess.DEVNULL)
        done = subprocess.run(command + [json.dumps(options)], cwd=place, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        if other is not None:
            other.wait()
        text = done.stdout.replace(place, "/app").replace(pathlib.Path(place).name, "app").replace(sys.prefix, "/usr/local")
        (HERE / "documents" / f"{name}.log").write_text(text)


def inspected(name, files, options, **more):
    write(name, files, {"extensions": False, "limits": {"listed": 2}, **options}, **more)


def command(name, *argv, runs=3, timeout=30, same=False):
    return {"name": name, "command": list(argv), "exitCode": 0, "sameOutput": same, "runs": runs, "timeout": timeout}


def stressed(name, files, commands, seconds=300, **more):
    write(name, files, {"commands": commands, "folder": ".", "timeouts": {"total": seconds}}, check="stress", **more)


EXAMPLES = HERE.parent.parent / "examples" / "stress"
LOST = (EXAMPLES / "lost_update.py").read_text()
SHARED = (EXAMPLES / "shared_generator.py").read_text()
DEAD = """import threading, time
one, other = threading.Lock(), threading.Lock()
def transfer(first, second):
    with first:
        time.sleep(0.2)
        with second:
            time.sleep(0.1)
threads = [threading.Thread(target=transfer, args=locks) for locks in ((one, other), (other, one))]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
FINE = command("fine", PYTHON, "-c", "print(1)", same=True)
BENCHMARK = {"command": [PYTHON, "-c", "import json; print(json.dumps({'operations': 2, 'checksum': sum(range(3_000_000))}))"], "folder": "."}

def main():
    app = {"imports": ["app"]}
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        inspected("clean", {"app.py": "print('hello')\n"}, {**app, "warmup": [PYTHON, "-c", "import app"]})
        inspected("gil", {"app.py": "import first\nimport second\n", "other.py": ""}, {"imports": ["app", "other"]}, silent=["first", "second"])
        inspected("warmup-gil", {"app.py": "", "warm.py": "import first\n"}, {**app, "warmup": [PYTHON, "warm.py"]}, silent=["first"])
        inspected("crash", {"app.py": "import os\nos.abort()\n"}, app)
        inspected("hang", {"app.py": "import time\ntime.sleep(60)\n"}, {**app, "timeouts": {"import": 1.5}})
        inspected("missing", {}, app)
        inspected("forced", {"app.py": ""}, app, env={"PYTHON_GIL": "0"})
        inspected("unseen", {"app.py": ""}, {**app, "warmup": ["/bin/true"]})
        inspected("bad-options", {}, {"importz": []})
        inspected("no-python", {}, {"python": "/no/such/python"})
        racing = [
            command("lost-update", PYTHON, "lost_update.py"),
            command("generator", PYTHON, "shared_generator.py", runs=40),
            command("deadlock", PYTHON, "dead.py", timeout=6, runs=1),
            command("clock", PYTHON, "-c", "import time; print(time.time())", same=True),
            command("missing", "no-such-command"),
            command("gil", PYTHON, "-c", "import first", runs=1),
            FINE,
        ]
        stressed("stress", {"lost_update.py": LOST, "shared_generator.py": SHARED, "dead.py": DEAD}, racing, silent=["first"])
        stressed("stress-fine", {}, [FINE])
        stressed("stress-late", {}, [command("slow", PYTHON, "-c", "import time; time.sleep(0.5)", runs=100)], seconds=3)
        write("benchmark", {}, BENCHMARK, check="benchmark", beside={**BENCHMARK, "image": "standard"})
    else:
        stressed("stress-standard", {}, [FINE])
        inspected("standard", {"app.py": ""}, app)


if __name__ == "__main__":
    main()
