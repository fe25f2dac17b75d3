"""Who turned the GIL on, in programs that do not know of the probe."""

import os
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from helpers import EXTENSIONS, FREE_THREADED, SOURCES, Programs, on_free_threading  # noqa: E402

TELL = "\nfrom freethread_probe import gil, errors\nprint(gil.is_enabled(), gil.enabled_by(), errors.count)\n"
WARNING = "RuntimeWarning: The global interpreter lock (GIL) has been enabled to load module 'silent', which has not declared that it can run safely without the GIL. To override this behavior and keep the GIL disabled (at your own risk), run with PYTHON_GIL=0 or -Xgil=0."


class Naming(Programs):
    def told(self, code, *arguments, **more):
        out, err = self.run_program(code + TELL, *arguments, **more)
        self.assertTrue(out, err)
        return out.splitlines()[-1], err

    def test_off_stays_off(self):
        said, err = self.told("import declared, json, socket, ssl, sqlite3, decimal")
        self.assertEqual(said, "False [] 0" if FREE_THREADED else "True [] 0")
        self.assertEqual(err, "")

    @on_free_threading
    def test_the_first_is_named(self):
        said, err = self.told("import declared, silent, second")
        self.assertEqual(said, "True ['silent'] 0")
        self.assertEqual([line.endswith(WARNING) for line in err.splitlines()], [True], "the interpreter's own line, and no second one")

    @on_free_threading
    def test_filters_do_not_hide_it(self):
        quiet = {
            "filter": "import warnings\nwarnings.simplefilter('ignore')\nimport silent",
            "logging": "import logging\nlogging.captureWarnings(True)\nlogging.getLogger('py.warnings').addHandler(logging.NullHandler())\nimport silent",
            "record": "import warnings\nwith warnings.catch_warnings(record=True):\n    warnings.simplefilter('always')\n    import silent",
            "showwarning": "import warnings\nwarnings.showwarning = lambda *args: None\nimport silent",
            "stderr": "import io, sys\nsys.stderr = io.StringIO()\nimport silent",
        }
        for name, code in quiet.items():
            with self.subTest(name):
                said, err = self.told(code)
                self.assertEqual(said, "True ['silent'] 0")
                self.assertEqual([line.endswith(WARNING) for line in err.splitlines()], [True], err)
        said, err = self.told("import silent", PYTHONWARNINGS="ignore")
        self.assertEqual((said, err.count(WARNING)), ("True ['silent'] 0", 1))

    @on_free_threading
    def test_a_warning_that_is_an_error_stays_one(self):
        code = "try:\n    import silent\nexcept RuntimeWarning as error:\n    print(error)"
        out, _ = self.run_program(code + TELL, "-W", "error:The global interpreter lock:RuntimeWarning")
        self.assertIn("enabled to load module", out.splitlines()[0])
        self.assertEqual(out.splitlines()[1], "True ['silent'] 0")

    @on_free_threading
    def test_the_moment_of_a_load_is_no_flip(self):
        """`slow` declares that it needs no GIL, and has it on for half a second all the same."""
        said, _ = self.told("""
import sys, threading
from freethread_probe import gil
raw, ours = set(), set()
loaded = threading.Event()
def look():
    while not loaded.wait(0.005):
        raw.add(sys._is_gil_enabled()); ours.add(gil.is_enabled())
thread = threading.Thread(target=look); thread.start()
import slow
loaded.set(); thread.join()
assert raw == {True, False} or raw == {True}, raw
assert ours == {False}, ours
""")
        self.assertEqual(said, "False [] 0")

    @on_free_threading
    def test_who_loaded_in_that_moment_is_no_suspect_later(self):
        said, _ = self.told("""
import threading, time
thread = threading.Thread(target=__import__, args=['slow']); thread.start()
time.sleep(0.2)
import declared
thread.join()
import silent
""", PYTHONWARNINGS="ignore")  # fmt: skip
        self.assertEqual(said, "True ['silent'] 0")

    @on_free_threading
    def test_a_load_without_an_end_counts_as_on(self):
        said, _ = self.told("""
import threading
from freethread_probe import gil
gil.LONGEST_LOADING = 0.1
seen = set(); loaded = threading.Event()
def look():
    while not loaded.wait(0.005): seen.add(gil.is_enabled())
thread = threading.Thread(target=look); thread.start()
import slow
loaded.set(); thread.join()
assert seen == {True, False}, seen
""")
        self.assertEqual(said, "False [] 0")

    @on_free_threading
    def test_loaded_past_the_loaders_and_the_filters_it_is_unknown(self):
        code = """
import _imp, os, warnings, importlib.machinery, importlib.util
warnings.simplefilter('ignore')
spec = importlib.machinery.PathFinder.find_spec('silent')
_imp.create_dynamic(spec)"""
        self.assertEqual(self.told(code)[0], "True ['unknown'] 0")

    @on_free_threading
    def test_forced_states(self):
        self.assertEqual(self.told("import silent", PYTHON_GIL="0")[0], "False [] 0")
        self.assertEqual(self.told("import silent", PYTHON_GIL="1")[0], "True [] 0")

    @on_free_threading
    def test_a_flip_before_the_probe_is_unknown(self):
        code = "import sys\nsys.path[0:0] = %r\nimport silent, freethread_probe\nfreethread_probe.start()" % [str(SOURCES), str(EXTENSIONS)]
        self.assertEqual(self.told(code, "-E")[0], "True ['unknown'] 0")

    def test_other_warnings_look_as_ever(self):
        """A warning's source is what the public hook would lose."""
        code = "import warnings\nwarnings.simplefilter('always')\ndef leak():\n    open(%r)\nleak()\n" % os.devnull
        _, with_probe = self.run_program(code, "-X", "tracemalloc")
        self.assertIn("Object allocated at", with_probe)


class Harmless(Programs):
    def test_what_it_imports(self):
        """Python modules of the standard library, and of the extensions only those that declare their support."""
        code = "import sys\nbefore = set(sys.modules)\nsys.path.insert(0, %r)\nimport freethread_probe\nfreethread_probe.start()\n" % str(SOURCES)
        code += """
import os
new = set(sys.modules) - before
for name in new:
    module = sys.modules[name]
    file = getattr(module, '__file__', None)
    inside = not file or file.startswith(os.path.dirname(os.__file__)) or name.startswith('freethread_probe')
    assert inside and name.split('.')[0] in {*getattr(sys, 'stdlib_module_names', new), 'freethread_probe'}, (name, file)
print(sorted(name for name in new if name.split('.')[0] not in ('freethread_probe',)))
print(getattr(sys, '_is_gil_enabled', lambda: True)())
"""
        for port in (None, "0"):
            env = {} if port is None else {"FREETHREAD_PROBE_PORT": port}
            out, err = self.run_program(code, "-S", **env)
            names, enabled = out.splitlines()
            self.assertEqual(enabled, str(not FREE_THREADED), err)
            if port is None:
                heavy = {"http", "http.server", "socket", "threading", "re", "json", "sysconfig", "typing", "prometheus_client"}
                self.assertEqual(heavy & set(eval(names)), set(), "without a port it needs hardly anything")

    def test_a_broken_probe_does_not_break_the_program(self):
        copy = self.folder / "copy"
        (copy / "freethread_probe" / "inject").mkdir(parents=True)
        (copy / "freethread_probe" / "__init__.py").write_text("1 / 0")
        (copy / "freethread_probe" / "inject" / "sitecustomize.py").write_text((SOURCES / "freethread_probe/inject/sitecustomize.py").read_text())
        out, err = self.run_program("print('fine')", PYTHONPATH=str(copy / "freethread_probe" / "inject"))
        self.assertEqual(out, "fine\n")
        self.assertIn("freethread-probe: not started: ZeroDivisionError", err)

    def test_errors_are_counted(self):
        code = "from freethread_probe import gil, errors\nfor _ in range(3):\n    with errors.counted(): 1 / 0\nprint(errors.count)"
        out, err = self.run_program(code)
        self.assertEqual((out, err), ("3\n", "freethread-probe: ZeroDivisionError: division by zero\n"))

    def test_no_stdout_and_no_stderr(self):
        for closed in ("1>&-", "2>&-", "1>&- 2>&- 0<&-"):
            code = "import subprocess, sys\nprint(subprocess.run(['sh', '-c', %r, 'sh', sys.executable, 'other.py']).returncode)" % f'"$1" "$2" {closed}'
            self.write("other.py", "import sys\ntry:\n    import silent\nfinally:\n    open('done', 'w').write('yes')\n")
            out, _ = self.run_program(code, PYTHONWARNINGS="ignore")
            self.assertEqual(out, "0\n", closed)
            self.assertEqual((self.folder / "done").read_text(), "yes")


class Chaining(Programs):
    def test_the_images_own_is_run(self):
        self.write("image/sitecustomize.py", "import sys\nsys.image = __name__, __file__")
        out, err = self.run_program("import sys, sitecustomize\nprint(sys.image, sitecustomize.__file__)", more_path=[self.folder / "image"])
        file = str(self.folder / "image" / "sitecustomize.py")
        self.assertEqual((out, err), (f"('sitecustomize', '{file}') {file}\n", ""))

    def test_the_path_that_the_image_had_comes_into_force_again(self):
        inject = self.folder / "copy" / "freethread_probe" / "inject"
        shutil.copytree(SOURCES / "freethread_probe", inject.parent)
        self.write("image/sitecustomize.py", "import sys\nsys.image = True")
        self.write("image/theirs.py", "")
        (inject / "pythonpath").write_text(os.pathsep.join([str(self.folder / "image"), str(EXTENSIONS)]))
        child = "import sys, theirs, silent; print(sys.image, 'freethread_probe' in sys.modules, sys.path.count(%r))" % str(self.folder / "image")
        code = f"import subprocess, sys, theirs, silent\nprint(sys.image, flush=True)\nsubprocess.run([sys.executable, '-c', {child!r}], check=True)"
        out, _ = self.run_program(code, PYTHONPATH=str(inject))
        self.assertEqual(out, "True\nTrue True 1\n", "and for what it starts")

    def test_its_error_is_told_as_ever(self):
        self.write("image/sitecustomize.py", "import nothing_of_that_name")
        out, err = self.run_program("print('fine')", more_path=[self.folder / "image"])
        self.assertEqual(out, "fine\n")
        self.assertIn("Error in sitecustomize", err)
        self.assertIn("nothing_of_that_name", err)

    def test_our_folders_are_not_left_on_the_path(self):
        out, _ = self.run_program("import sys\nprint([p for p in sys.path if p.endswith('inject') or p == %r], 'freethread_probe' in sys.modules)" % str(SOURCES))
        self.assertEqual(out, "[] True\n")


if __name__ == "__main__":
    unittest.main()
