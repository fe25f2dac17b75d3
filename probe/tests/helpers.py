"""Programs that run with the probe as the operator mounts it, and the extensions that they load."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import unittest
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = HERE.parent / "src"
INJECT = SOURCES / "freethread_probe" / "inject"
sys.path[0:0] = [str(HERE.parent.parent / "tests" / "preflight_image")]

import extensions  # noqa: E402

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
on_free_threading = unittest.skipUnless(FREE_THREADED, "needs a free-threaded build")
BUILT = tempfile.TemporaryDirectory()  # ends with the tests
EXTENSIONS = pathlib.Path(BUILT.name)
for _name, _source in {"silent": extensions.SILENT, "second": extensions.SILENT, "declared": extensions.DECLARED, "slow": extensions.SLOW}.items():
    extensions.build(EXTENSIONS, _name, _source)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def scrape(port, timeout=20.0):
    """{name{labels}: value}, as soon as somebody answers."""
    end = time.monotonic() + timeout
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return read(answer.read().decode())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def read(text):
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def modules(metrics):
    return sorted(found.group(1) for found in (re.fullmatch(r'python_gil_enabled_by_info\{module="(.*)"\}', name) for name in metrics) if found)


def until(test, seconds=20.0):
    end = time.monotonic() + seconds
    while not (value := test()):
        if time.monotonic() > end:
            raise AssertionError("it did not happen in time")
        time.sleep(0.02)
    return value


class Programs(unittest.TestCase):
    """Each test writes a program and runs it with the probe on PYTHONPATH."""

    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder = pathlib.Path(place.name)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, code, *arguments, port=None, more_path=(), **env):
        program = self.write("program.py", code)
        path = os.pathsep.join(map(str, [INJECT, *more_path, EXTENSIONS]))
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **env}
        if port:
            environment["FREETHREAD_PROBE_PORT"] = str(port)
        process = subprocess.Popen(
            [sys.executable, *arguments, str(program)], cwd=self.folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.addCleanup(self.stop, process)
        return process

    def stop(self, process):
        with contextlib.suppress(ProcessLookupError):  # its workers too, which hold the pipes open
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def run_program(self, code, *arguments, **more):
        """Its stdout and stderr. It must end well."""
        process = self.start(code, *arguments, **more)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        return out, err
