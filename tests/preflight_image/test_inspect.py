"""The inspection of an image, with the interpreter that runs these tests as the image's.

    PYTHON -m unittest discover -s tests/preflight_image
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).parent
PARTS = HERE.parent.parent / "src" / "preflight" / "probe"
sys.path[0:0] = [str(HERE), str(PARTS)]

import bundle  # noqa: E402
import extensions  # noqa: E402

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
on_free_threading = unittest.skipUnless(FREE_THREADED, "needs a free-threaded build")
MARKER = "--- freethread-rollout preflight ---"
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


def start(folder, options, env=None, check="inspect_image", **more):
    """A check's script as a Job starts it: isolated, without a home, with its text as an argument."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **(env or {})}
    if check == "inspect_image":
        options = {"extensions": False, **options}
    command = [sys.executable, "-I", "-c", bundle.script(check), json.dumps(options)]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def finish(process):
    out, err = process.communicate(timeout=120)
    if process.returncode != 0:
        raise AssertionError(f"exit code {process.returncode}: {err}")
    *_, marker, document = out.splitlines()
    if marker != MARKER:
        raise AssertionError(out)
    return json.loads(document)


class Base(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder = pathlib.Path(place.name)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def inspect(self, env=None, **options):
        return finish(start(self.folder, options, env))

    def one(self, text, **options):
        """Inspect an application of one module."""
        self.write("app.py", text)
        document = self.inspect(imports=["app"], **options)
        return document["imports"][0]

    def names(self, part):
        return [entry["module"] for entry in part["gilEnabledBy"]]


class Interpreter(Base):
    def test_it_says_what_it_is(self):
        python = self.inspect()["python"]
        self.assertEqual(python["versionInfo"], list(sys.version_info[:3]))
        self.assertEqual(python["soabi"], sysconfig.get_config_var("SOABI"))
        self.assertIs(python["freeThreadedBuild"], FREE_THREADED)
        self.assertIs(python["gilEnabled"], not FREE_THREADED)

    def test_bad_options_are_an_answer(self):
        for options in ({"import": ["app"]}, {"imports": "app"}, {"timeouts": {"imports": 3}}, {"timeouts": {"import": "3"}}):
            self.assertIn("ValueError", self.inspect(**options)["detail"][-1], options)

    def test_an_interpreter_that_is_not_there_is_an_answer(self):
        document = self.inspect(python="/no/python")
        self.assertEqual(document["error"], "the interpreter did not start")
        self.assertIn("/no/python", document["detail"]["detail"][0])

    def test_distributions_are_listed_within_bounds(self):
        for number in range(3):
            self.write(f"d{number}.dist-info/METADATA", f"Name: d{number}\nVersion: 1.{number}\n")
        self.write("broken.dist-info/METADATA", "nothing")
        self.write("long.dist-info/METADATA", f"Name: {'n' * 10000}\nVersion: 1\n")
        listed = self.inspect()["distributions"]["listed"]
        self.assertEqual(listed["d2"], "1.2")
        self.assertLessEqual(max(map(len, listed)), 300)
        few = self.inspect(limits={"distributions": 2})["distributions"]
        self.assertEqual((len(few["listed"]), few["cut"]), (2, few["found"] - 2))
        self.assertGreaterEqual(few["found"], 5)

    @on_free_threading
    def test_a_forced_gil_is_told_and_hides_nothing(self):
        extensions.build(self.folder, "silent", extensions.SILENT)
        self.write("app.py", "import silent")
        document = self.inspect({"PYTHON_GIL": "0"}, imports=["app"])
        self.assertEqual((document["gil"]["forced"], document["gil"]["by"]), ("off", "PYTHON_GIL"))
        self.assertEqual(self.names(document), ["silent"])
        document = self.inspect({"PYTHON_GIL": "1"}, imports=["app"], workloadCommand=["python", "-X", "gil=0", "app.py"])
        self.assertEqual((document["gil"]["forced"], document["gil"]["by"]), ("off", "-X gil"))
        self.assertEqual(self.inspect({"PYTHON_GIL": "1"})["gil"]["forced"], "on")
        self.assertIsNone(self.inspect()["gil"]["forced"])

    def test_nothing_is_written(self):
        self.write("app.py", "import os; os.environ['HOME'] = '/'\nprint('hello')")
        self.inspect(imports=["app"], extensions=True, limits={"extensions": 3})
        self.assertEqual([path.name for path in self.folder.rglob("*")], ["app.py"])

    def test_the_parts_fit_into_their_quotes(self):
        for part in PARTS.glob("*.py"):
            if part.name != "bundle.py":
                self.assertNotIn("'''", part.read_text(), part)
        self.assertLess(len(bundle.script()), 100_000, "an argument of a command has at most 128 KiB")


class Imports(Base):
    def test_a_clean_application(self):
        extensions.build(self.folder, "declared", extensions.DECLARED)
        result = self.one("import declared, json")
        self.assertEqual((result["status"], result["gilEnabledBy"], result["complete"]), ("ok", [], True))
        self.assertEqual(result["gil"], "off" if FREE_THREADED else "on")

    @on_free_threading
    def test_all_modules_that_turn_the_gil_on(self):
        for name in "first", "second":
            extensions.build(self.folder / "package", name, extensions.SILENT)
        result = self.one("import package.first\nimport package.second")
        self.assertEqual(self.names(result), ["package.first", "package.second"])
        self.assertEqual(result["gil"], "on")
        self.assertTrue(result["complete"])
        self.assertEqual(result["gilEnabledBy"][1]["file"], str(self.folder / "package" / "second.so"))
        self.assertEqual(result["gilEnabledBy"][1]["importedBy"], str(self.folder / "app.py") + ":2")

    @on_free_threading
    def test_nobody_imported_what_was_asked_for_itself(self):
        extensions.build(self.folder, "silent", extensions.SILENT)
        part = self.inspect(imports=["silent"])["imports"][0]
        self.assertEqual([(entry["module"], entry["importedBy"]) for entry in part["gilEnabledBy"]], [("silent", None)])

    @on_free_threading
    def test_no_setting_of_the_application_hides_them(self):
        for name in "first", "second":
            extensions.build(self.folder, name, extensions.SILENT)
        self.write("app.py", "import io, logging, sys, warnings\nlogging.captureWarnings(True)\nwarnings.simplefilter('ignore')\n"
                   "sys.stderr = io.StringIO()\nimport first, second")  # fmt: skip
        document = self.inspect({"PYTHONWARNINGS": "ignore"}, imports=["app"])
        self.assertEqual(self.names(document["imports"][0]), ["first", "second"])

    @on_free_threading
    def test_a_redirected_stderr(self):
        for name in "first", "second":
            extensions.build(self.folder, name, extensions.SILENT)
        extensions.build(self.folder, "declared", extensions.DECLARED)
        result = self.one("import os\nos.dup2(os.open(os.devnull, os.O_WRONLY), 2)\nimport declared, first, second, json")
        self.assertEqual((result["gil"], self.names(result), result["complete"]), ("on", ["first", "second"], True))
        # Alone it is still seen, by the moment at which the GIL came on.
        self.write("quiet/__init__.py", "import os\nos.dup2(os.open(os.devnull, os.O_WRONLY), 2)")
        extensions.build(self.folder / "quiet", "core", extensions.SILENT)
        extensions.build(self.folder / "quiet", "clean", extensions.DECLARED)
        found = self.inspect(extensions=True, path=[], imports=["quiet.core", "quiet.clean"], limits={"extensions": 5})["sharedObjects"]["listed"]
        seen = {entry["module"]: entry["declares"] for entry in found if "quiet" in entry["file"]}
        self.assertEqual(seen, {"quiet.core": "no", "quiet.clean": "yes"})

    @on_free_threading
    def test_an_application_that_refuses_to_go_on_with_the_gil(self):
        for name in "first", "second":
            extensions.build(self.folder, name, extensions.SILENT)
        result = self.one("import first, sys\nif sys._is_gil_enabled(): raise SystemExit('no GIL here')\nimport second")
        self.assertEqual((result["status"], self.names(result)), ("error", ["first", "second"]))
        self.assertTrue(result["complete"])
        self.assertIn("SystemExit: no GIL here", result["detail"][-1])

    @on_free_threading
    def test_what_a_crash_hides_is_not_called_complete(self):
        extensions.build(self.folder, "first", extensions.SILENT)
        result = self.one("import first, os\nos.abort()")
        self.assertEqual((result["status"], result["signal"], self.names(result)), ("crash", "SIGABRT", ["first"]))
        self.assertFalse(result["complete"])

    @on_free_threading
    def test_modules_that_only_together_turn_it_on(self):
        extensions.build(self.folder, "silent", extensions.SILENT)
        self.write("one.py", "FAST = True")
        self.write("two.py", "import sys\nif 'one' in sys.modules: import silent")
        document = self.inspect(imports=["one", "two"])
        self.assertEqual([part["gil"] for part in document["imports"]], ["off", "off"])
        self.assertEqual(self.names(document["together"]), ["silent"])
        self.assertEqual(document["gilEnabledBy"][0]["seenIn"], ["all imports together"])

    def test_crashes_hangs_and_errors_are_results(self):
        crash = self.one("import ctypes\nctypes.string_at(0)")
        self.assertEqual((crash["status"], crash["signal"], crash["gil"]), ("crash", "SIGSEGV", "unknown"))
        self.assertIn("app.py", "\n".join(crash["detail"]))
        hang = self.one("import time\ntime.sleep(1000)", timeouts={"import": 1.5})
        self.assertEqual((hang["status"], hang["gil"]), ("hang", "unknown"))
        self.assertIn('app.py", line 2', "\n".join(hang["detail"]))
        error = self.one("import nothing_of_that_name")
        self.assertEqual((error["status"], error["failed"]), ("error", ["app"]))
        self.assertEqual(error["detail"][-1], "ModuleNotFoundError: No module named 'nothing_of_that_name'")
        left = self.one("import os\nos._exit(0)")
        self.assertEqual((left["status"], left["gil"], left["complete"]), ("error", "unknown", False))
        self.assertEqual(self.one("import os\nos._exit(7)")["exitCode"], 7)
        late = self.one("import atexit, os\natexit.register(os.abort)")
        self.assertEqual((late["status"], late["signal"]), ("crash", "SIGABRT"))

    def test_a_thread_that_never_ends_is_no_hang(self):
        begin = time.monotonic()
        result = self.one("import threading\nthreading.Thread(target=threading.Event().wait).start()")
        self.assertEqual(result["status"], "ok")
        self.assertIn("did not end by itself", result["note"])
        self.assertLess(time.monotonic() - begin, 30)

    def test_its_children_end_with_it(self):
        result = self.one("import subprocess\nopen('pid', 'w').write(str(subprocess.Popen(['sleep', '1000']).pid))\nimport time\ntime.sleep(1000)",
                          timeouts={"import": 2})  # fmt: skip
        self.assertEqual(result["status"], "hang")
        pid = int((self.folder / "pid").read_text())
        with contextlib.suppress(FileNotFoundError):  # nobody may have waited for it
            self.assertIn(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0], "ZX")

    def test_output_without_end_is_cut(self):
        result = self.one("import sys\nfor n in range(300): print('x' * 100000); print('e' * 100000, file=sys.stderr)\nraise ValueError('v' * 100000)",
                          limits={"lines": 5, "width": 200})  # fmt: skip
        self.assertEqual(result["status"], "error")
        self.assertLess(len(json.dumps(result)), 3000)

    def test_told_to_stop_it_tells_what_it_knows(self):
        self.write("app.py", "open('here', 'w').close()\nimport time\ntime.sleep(1000)")
        process = start(self.folder, {"imports": ["app", "json"]})
        while not (self.folder / "here").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        document = finish(process)
        self.assertTrue(document["stopped"])
        self.assertEqual([part["status"] for part in document["imports"]], ["skipped", "skipped"])


class WarmUp(Base):
    def warm(self, *arguments, **options):
        extensions.build(self.folder, "silent", extensions.SILENT)
        return self.inspect(warmup=list(arguments), **options)["warmup"]

    @on_free_threading
    def test_the_gil_during_a_warm_up(self):
        self.assertEqual(self.warm(sys.executable, "-c", "import json")["gil"], "off")
        # A child of a child, which only the environment reaches.
        result = self.warm("sh", "-c", f"{sys.executable} -c 'import silent'; echo done")
        self.assertEqual((result["gil"], self.names(result), result["stdout"]), ("on", ["silent"], ["done"]))

    def test_when_it_cannot_be_known(self):
        python = sys.executable
        for why, command in {
            "did not end well": ["sh", "-c", f"{python} -c 'import json'; exit 3"],
            "sets the GIL itself": ["sh", "-c", f"env PYTHON_GIL=0 {python} -c 'import silent'"],
            "no Python said": [python, "-I", "-c", "import json"],
            "no Python": ["sh", "-c", f"{python} -c 'import silent' 2> /dev/null"],
        }.items():
            result = self.warm(*command)
            self.assertEqual(result["gil"], "unknown", command)
            self.assertIn(why if FREE_THREADED else "no free-threaded build", result["why"])
        missing = self.warm("/no/command")
        self.assertEqual((missing["status"], missing["gil"]), ("error", "unknown"))


class SharedObjects(Base):
    def objects(self, **options):
        found = self.inspect(extensions=True, **options)["sharedObjects"]
        return found, {os.path.basename(entry["file"]): entry for entry in found["listed"]}

    def test_tags_kinds_and_declarations(self):
        packages = self.folder / "vendored"
        extensions.build(packages, "silent", extensions.SILENT, SUFFIX)
        extensions.build(packages, "declared", extensions.DECLARED)
        extensions.build(packages, "calls", extensions.CALLS)
        extensions.build(packages, "__init__", extensions.LIBRARY)
        extensions.build(packages, "other", extensions.SILENT, ".cpython-36m-x86_64-linux-gnu.so")
        extensions.build(packages, "stable", extensions.CRASHES, ".abi3.so")
        extensions.build(packages / "some.libs", "libanswer", extensions.LIBRARY, ".so.1.2")
        self.write("vendored/broken.so", "not an ELF file")
        self.write("vendored/__pycache__/old.so", "")
        _, seen = self.objects(path=[str(packages)])
        got = {name: (entry["kind"], entry["tag"], entry["declares"], entry.get("status")) for name, entry in seen.items() if str(packages) in entry["file"]}
        yes, no = ("yes", "no") if FREE_THREADED else ("unknown", "unknown")
        own = "cp" + sysconfig.get_config_var("SOABI").split("-")[1]
        self.assertEqual(got, {
            "silent" + SUFFIX: ("extension", own, no, "ok"),
            "declared.so": ("extension", "none", yes, "ok"),
            "calls.so": ("extension", "none", yes, "ok"),
            "__init__.so": ("library", "none", "unknown", None),
            "other.cpython-36m-x86_64-linux-gnu.so": ("extension", "cp36m", "unknown", None),
            "stable.abi3.so": ("extension", "abi3", "unknown", "crash"),
            "libanswer.so.1.2": ("library", "none", "unknown", None),
            "broken.so": ("unreadable", "none", "unknown", None),
        })  # fmt: skip
        self.assertEqual(seen["stable.abi3.so"]["signal"], "SIGSEGV")
        self.assertEqual([name for name in got if seen[name]["callsSetGil"]], ["calls.so"] if FREE_THREADED else [])

    @on_free_threading
    def test_the_interpreters_own_extensions_declare_it(self):
        found, seen = self.objects()
        own = [entry for entry in seen.values() if "lib-dynload" in entry["file"] and not entry["ownTest"]]
        self.assertGreater(len(own), 20)
        self.assertEqual([entry for entry in own if entry["declares"] != "yes" and entry["status"] == "ok"], [])

    def test_a_package_is_imported_under_its_whole_name(self):
        extensions.build(self.folder / "outer" / "inner", "core", extensions.SILENT)
        _, seen = self.objects()
        self.assertEqual((seen["core.so"]["module"], seen["core.so"]["status"]), ("outer.inner.core", "ok"))

    def test_the_list_is_cut_and_says_so(self):
        for number in range(4):
            extensions.build(self.folder, f"silent{number}", extensions.SILENT)
        found, _ = self.objects(limits={"listed": 3, "extensions": 3})
        self.assertEqual(len(found["listed"]), 3)
        self.assertEqual(found["cut"], found["found"] - 3)
        self.assertEqual(sum(found["counts"].values()), found["found"])


if __name__ == "__main__":
    unittest.main()
