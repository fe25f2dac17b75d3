"""The stress of an image, with the interpreter that runs these tests as the image's."""

import os
import signal
import sys
import time
import unittest

from documents import DEAD, LOST, SHARED, command
from test_inspect import Base, extensions, finish, on_free_threading, start

PYTHON = sys.executable

# Says nothing the first time, as one that crashes while it prints.
CUT = """import faulthandler, os
def die():
    os.abort()
if not os.path.exists("once"):
    open("once", "w").close()
    faulthandler.disable()
die()
"""


class Stress(Base):
    def stress(self, *commands, **options):
        options = {"commands": list(commands), "folder": str(self.folder), **options}
        return finish(start(self.folder, options, check="stress"))

    def one(self, one, **options):
        return self.stress(one, **options)["commands"][0]

    def python(self, text, **more):
        return command("it", PYTHON, "-c", text, **more)

    def test_what_ends_well_each_time(self):
        result = self.one(self.python("print(1)", runs=4, same=True))
        self.assertEqual((result["runs"], result["failed"], result["first"]), (4, 0, None))
        result = self.one({**self.python("raise SystemExit(3)"), "exitCode": 3})
        self.assertEqual((result["runs"], result["failed"]), (3, 0))

    def test_another_exit_code_is_told_with_the_place_and_the_words(self):
        self.write("app.py", "def check():\n    assert 1 == 2, 'one is two'\ncheck()\n")
        first = self.one(command("it", PYTHON, "app.py"))["first"]
        self.assertEqual((first["status"], first["exitCode"], first["detail"]), ("error", 1, ["AssertionError: one is two"]))
        place = self.folder.name
        self.assertEqual(first["stack"], [f"{place}/app.py:2 in check < {place}/app.py:3 in <module>"])

    def test_three_failures_are_enough(self):
        result = self.one(self.python("raise SystemExit(1)", runs=50))
        self.assertEqual((result["runs"], result["failed"], result["planned"]), (3, 3, 50))

    def test_a_crash_has_its_signal_and_stack_even_under_a_shell(self):
        self.write("app.py", "import os\ndef die():\n    os.abort()\ndie()\n")
        for argv in ([PYTHON, "app.py"], ["sh", "-c", f"{PYTHON} app.py; exit $?"]):
            first = self.one(command("it", *argv, runs=1))["first"]
            self.assertEqual((first["status"], first["signal"]), ("crash", "SIGABRT"))
            self.assertIn("app.py:3 in die", first["stack"][0])

    def test_a_crash_with_a_stack_says_more_than_one_whose_printing_was_cut_off(self):
        self.write("cut.py", CUT)
        first = self.one(command("it", PYTHON, "cut.py"))["first"]
        self.assertEqual((first["run"], first["status"], first["signal"]), (2, "crash", "SIGABRT"))
        self.assertIn("in die", first["stack"][0])

    def test_a_hang_shows_where(self):
        self.write("app.py", DEAD)
        first = self.one(command("it", PYTHON, "app.py", timeout=8, runs=1))["first"]
        self.assertEqual(first["status"], "hang")
        self.assertTrue(any("in transfer" in stack for stack in first["stack"]), first)

    def test_output_that_changes_counts_where_it_may_not(self):
        text = "import os; print(os.getpid())"
        first = self.one(self.python(text, same=True))["first"]
        self.assertEqual((first["run"], first["status"]), (2, "differs"))
        self.assertIsNone(self.one(self.python(text))["first"])

    @on_free_threading
    def test_races_are_met(self):
        self.write("lost.py", LOST)
        self.write("shared.py", SHARED)
        lost, shared = self.stress(command("lost", PYTHON, "lost.py"), command("shared", PYTHON, "shared.py", runs=60, timeout=60))["commands"]
        self.assertIn("lost", lost["first"]["detail"][0])
        self.assertEqual(shared["first"]["status"], "crash", shared)
        self.assertTrue(shared["first"]["stack"], shared)

    @on_free_threading
    def test_a_module_that_enables_the_gil_is_named(self):
        extensions.build(self.folder, "silent", extensions.SILENT)
        self.assertEqual(self.one(self.python("import silent", runs=1))["gilEnabledBy"], ["silent"])

    def test_threads_and_switches(self):
        text = "import os, sys; assert os.environ['STRESS_THREADS'] == '5' and sys.getswitchinterval() < 2e-6"
        self.assertIsNone(self.one(self.python(text), threads=5)["first"])

    def test_the_images_own_sitecustomize_runs_too(self):
        self.write("own/sitecustomize.py", "import builtins; builtins.own = True")
        env = {"PYTHONPATH": str(self.folder / "own")}
        check = "import sys; assert own and sys.getswitchinterval() < 2e-6"
        options = {"commands": [self.python(check)], "folder": str(self.folder)}
        result = finish(start(self.folder, options, env, check="stress"))["commands"][0]
        self.assertIsNone(result["first"], result)

    def test_the_end_of_the_time_is_told(self):
        document = self.stress(self.python("import time; time.sleep(0.3)", runs=1000), timeouts={"total": 2})
        self.assertTrue(document["stopped"])
        self.assertLess(document["commands"][0]["runs"], 1000)
        self.assertEqual(document["commands"][0]["failed"], 0)

    def test_what_cannot_be_started_is_an_error(self):
        first = self.one(command("it", "no-such-command", runs=9))["first"]
        self.assertEqual(first["status"], "error")
        self.assertIn("no-such-command", first["detail"][0])


class Benchmark(Base):
    rounds = 0

    def fresh(self):
        """A folder that no round has used."""
        self.rounds += 1
        folder = self.folder / str(self.rounds)
        folder.mkdir()
        return folder

    def round(self, ours, theirs, **options):
        options = {"folder": str(self.fresh()), "timeouts": {"run": 30, "total": 100}, **options}
        other = start(self.folder, {**options, "image": "standard", "command": theirs}, check="benchmark")
        document = finish(start(self.folder, {**options, "command": ours}, check="benchmark"))
        self.assertEqual(finish(other)["runs"], document["runs"], "both know the same")
        return document["runs"]

    def test_the_images_take_turns_and_are_measured(self):
        work = [PYTHON, "-c", "import json, time; time.sleep(1.2); print(json.dumps({'operations': 7, 'x': True, 'y': 'z', 'p99': 2}))"]
        busy = [PYTHON, "-c", "import time; end = time.time() + 3; b = b'x' * 50_000_000\nwhile time.time() < end: pass"]
        runs = self.round(work, busy)
        self.assertEqual([run["image"] for run in runs], ["standard", "free-threaded", "free-threaded", "standard"])
        self.assertEqual({run["status"] for run in runs}, {"ok"})
        for run in runs:
            if run["image"] == "standard":
                self.assertGreater(run["cpu"], 0.3)
                self.assertGreater(run["settled"], 40_000_000, "what it has in memory, and what its parent has is none of it")
                self.assertEqual(run["numbers"], {})
            else:
                self.assertGreater(run["seconds"], 1.1)
                self.assertLess(run["peak"], 40_000_000)
                self.assertEqual(run["numbers"], {"operations": 7, "p99": 2})

    def test_the_other_image_may_begin(self):
        runs = self.round(["true"], ["true"], first="free-threaded")
        self.assertEqual([run["image"] for run in runs], ["free-threaded", "standard", "standard", "free-threaded"])

    def test_a_run_that_fails_ends_the_round(self):
        runs = self.round(["sh", "-c", "echo no >&2; exit 4"], ["true"])
        self.assertEqual([run["status"] for run in runs], ["ok", "error"])
        self.assertEqual((runs[1]["exitCode"], runs[1]["detail"]), (4, ["no"]))
        self.assertEqual([run["status"] for run in self.round(["true"], ["no-such-command"])], ["error"])

    def test_without_the_other_container_there_is_no_round(self):
        begun = time.monotonic()
        options = {"folder": str(self.fresh()), "command": ["true"], "timeouts": {"run": 1, "total": 2}}
        self.assertEqual(finish(start(self.folder, options, check="benchmark"))["runs"], [])
        self.assertLess(time.monotonic() - begun, 30)
        folder = self.fresh()
        process = start(self.folder, {**options, "folder": str(folder), "timeouts": {"run": 60, "total": 600}}, check="benchmark")
        while not (folder / "ready-free-threaded").exists():
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGTERM)
        self.assertEqual(finish(process)["runs"], [], "told to stop, it stops")


if __name__ == "__main__":
    unittest.main()
