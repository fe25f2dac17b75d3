"""The metrics, on the port and in prometheus_client's registry, of servers that do not know of the probe."""

import contextlib
import os
import pathlib
import signal
import socket
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from helpers import FREE_THREADED, SOURCES, Programs, free_port, modules, on_free_threading, read, scrape, until  # noqa: E402

# A folder with prometheus_client and gunicorn as they are published; `make probe-test` fills it.
PUBLISHED = os.environ.get("PROBE_TEST_PACKAGES")
with_packages = unittest.skipUnless(PUBLISHED, "needs PROBE_TEST_PACKAGES")

# Lines on stdin are statements: what a request would do, at the time that the test chooses.
OBEY = """
import sys
for line in sys.stdin:
    exec(line, globals())
    print("done", flush=True)
"""
CLIENT = "import prometheus_client\ndef show(): print(prometheus_client.generate_latest().decode().replace('\\n', '|'))\n"


class Served(Programs):
    def obey(self, process, statement):
        process.stdin.write(statement + "\n")
        process.stdin.flush()
        lines = []
        while (line := process.stdout.readline()) != "done\n":
            self.assertTrue(line, "it ended")
            lines.append(line)
        return "".join(lines)


class Port(Served):
    def test_what_there_is(self):
        port = free_port()
        self.start(OBEY, port=port)
        got = scrape(port)
        self.assertEqual(got["python_gil_enabled"], 0 if FREE_THREADED else 1)
        self.assertEqual(modules(got), [])
        version = ".".join(map(str, sys.version_info[:3]))
        import sysconfig

        info = f'python_free_threaded_build_info{{version="{version}",soabi="{sysconfig.get_config_var("SOABI")}"}}'
        self.assertEqual(got[info], float(FREE_THREADED))
        self.assertEqual(got["freethread_probe_errors_total"], 0)

    def test_threads(self):
        port = free_port()
        process = self.start(OBEY, port=port)
        before = scrape(port)["python_threads"]
        self.obey(process, "import threading; [threading.Thread(target=threading.Event().wait, daemon=True).start() for _ in range(5)]")
        self.assertEqual(scrape(port)["python_threads"], before + 5)

    @on_free_threading
    def test_a_lazy_import_in_a_running_server_is_seen_at_the_next_scrape(self):
        port = free_port()
        process = self.start(OBEY, port=port)
        self.assertEqual(scrape(port)["python_gil_enabled"], 0)
        self.obey(process, "import threading; t = threading.Thread(target=__import__, args=['silent']); t.start(); t.join()")
        got = scrape(port)
        self.assertEqual((got["python_gil_enabled"], modules(got)), (1, ["silent"]))

    @on_free_threading
    def test_a_forked_worker(self):
        """The parent answers for it, with a GIL that is off itself; when the worker has gone, who did it is still told."""
        port = free_port()
        process = self.start("import os, sys\nworker = os.fork()\nif worker: os.wait()\nelse: worker = os.getpid()\n" + OBEY, port=port)
        worker = int(self.obey(process, "print(worker)"))
        before = scrape(port)
        self.assertEqual((before["python_gil_enabled"], before["python_threads"]), (0, 3))  # two processes, and our thread
        self.obey(process, "import silent")
        got = until(lambda: (seen := scrape(port))["python_gil_enabled"] and seen)
        self.assertEqual(modules(got), ["silent"])
        os.kill(worker, signal.SIGKILL)
        got = until(lambda: not (seen := scrape(port))["python_gil_enabled"] and seen)
        self.assertEqual(modules(got), ["silent"])

    @on_free_threading
    def test_a_program_that_is_started(self):
        port = free_port()
        self.write("other.py", "import silent, time\ntime.sleep(60)")
        self.start("import subprocess, sys\nsubprocess.run([sys.executable, 'other.py'])", port=port)
        got = until(lambda: (seen := scrape(port))["python_gil_enabled"] and seen)
        self.assertEqual((modules(got), got["freethread_probe_errors_total"]), (["silent"], 0))

    def test_a_fork_meets_no_thread_of_ours(self):
        """What a thread holds at a fork is lost."""
        port = free_port()
        code = "import os, sys, threading, time\nmet = []\nos.register_at_fork(before=lambda: met.append(threading.active_count()))\n"
        code += "sys.path.insert(0, %r)\nimport freethread_probe\nfreethread_probe.start()\nbefore = threading.active_count()\n" % str(SOURCES)
        code += "for _ in range(20):\n    child = os.fork()\n    if not child: os._exit(0)\n    os.waitpid(child, 0)\n"
        code += "print(before, set(met), flush=True)\ntime.sleep(60)"
        process = self.start(code, "-E", "-W", "error", port=port)
        self.assertEqual(process.stdout.readline(), "2 {1}\n")
        self.assertEqual(scrape(port)["freethread_probe_errors_total"], 0)

    def test_a_worker_does_not_keep_the_port(self):
        port = free_port()
        process = self.start("import os, time\nparent = os.getpid()\nif os.fork():\n    os._exit(0)\nwhile os.getppid() == parent: time.sleep(0.01)\nprint('alone', flush=True)\ntime.sleep(60)", port=port)
        process.stdout.readline()
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()

    def test_a_port_that_is_taken(self):
        with socket.create_server(("", 0)) as other:
            out, err = self.run_program("from freethread_probe import errors\nprint('fine', errors.count)", port=other.getsockname()[1])
        self.assertEqual(out, "fine 1\n")
        self.assertIn("Address already in use", err)

    def test_a_port_that_is_none(self):
        out, _ = self.run_program("from freethread_probe import errors\nprint('fine', errors.count)", port="http")
        self.assertEqual(out, "fine 1\n")

    def test_no_threads(self):
        port = free_port()
        code = "import _thread, sys\nfrom freethread_probe import server, errors\n"
        code += "def no(*a, **k): raise RuntimeError(\"can't start new thread\")\n"
        code += "import threading; threading._start_joinable_thread = threading._start_new_thread = no\n"
        code += "server.start(%d)\nprint('fine', errors.count, server._listener)" % port
        out, err = self.run_program(code)
        self.assertEqual(out, "fine 1 None\n", err)

    def test_all_descriptors_closed_under_us(self):
        """As by a program that becomes a daemon; the number of our port then belongs to a socket of its own."""
        port, other = free_port(), free_port()
        code = "import os, socket\nos.closerange(3, 64)\nsockets = [socket.create_server(('', %d), reuse_port=True) for _ in range(9)]\n" % other
        process = self.start(code + OBEY, port=port)
        self.obey(process, "pass")  # by now they are closed
        for _ in range(20):
            socket.create_connection(("127.0.0.1", other), 1).close()
        # The thread waits on the file that is gone until a scrape wakes it up.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
        time.sleep(0.2)
        got = self.obey(process, "import select; print(sum(bool(select.select([s], [], [], 0.05)[0]) and s.accept() is not None for s in sockets for _ in range(20)))")
        self.assertEqual(got, "20\n")
        busy = self.obey(process, "import time; begin = time.process_time(); time.sleep(0.5); print(time.process_time() - begin)")
        self.assertLess(float(busy), 0.25)

    DAEMON = """
import os, socket, threading
from freethread_probe import server
late, serve = threading.Event(), server._serve
def serve_late(*arguments):
    late.wait()
    serve(*arguments)
server._serve = serve_late
server.start(%d)
os.closerange(3, 64)
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(9)]
places = [s.getsockname() for s in sockets]
"""

    def test_all_descriptors_closed_before_the_thread_looks(self):
        """It begins when the numbers are somebody else's already, as on a busy machine: it reads none of them and closes none."""
        code = self.DAEMON % free_port() + (
            "clients = [socket.create_connection(place) for place in places]\n"
            "late.set(); server._thread.join(20); print(server._thread.is_alive(), sum(s.accept() is not None for s in sockets))"
        )
        out, err = self.run_program(code)
        self.assertEqual(out, "False 9\n", err)

    def test_all_descriptors_closed_and_then_a_fork(self):
        """Neither the parent's sockets nor the child's are touched by what the probe does around a fork."""
        code = self.DAEMON % free_port() + (
            "if not (child := os.fork()): os._exit(sum(s.getsockname() == place for s, place in zip(sockets, places)))\n"
            "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), [s.getsockname() for s in sockets] == places)"
        )
        out, err = self.run_program(code)
        self.assertEqual(out, "9 True\n", err)

    def test_a_client_that_says_nothing(self):
        port = free_port()
        self.start(OBEY, port=port)
        scrape(port)
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as rude:
            rude.sendall(b"\0\xff" * 1000 + b"\r\n\r\n")
            self.assertIn("python_gil_enabled", scrape(port))

    def test_words_that_are_not_ours(self):
        port = free_port()
        self.start(OBEY, port=port)
        scrape(port)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            for word in (b"", b"\xff", b"1", b"x\ny", b"\n"):
                other.sendto(word, f"\0freethread-probe-{port}")
            other.sendto(b'%d\nquo"te\\n' % os.getpid(), f"\0freethread-probe-{port}")
        got = until(lambda: (seen := scrape(port))["python_gil_enabled"] and modules(seen) and seen)
        self.assertEqual(modules(got), ['quo\\"te\\\\n'])


@with_packages
class Registry(Served):
    def client(self, code=CLIENT, **more):
        return self.start(code + OBEY, more_path=[PUBLISHED], **more)

    def shown(self, process):
        return read(self.obey(process, "show()").replace("|", "\n"))

    @on_free_threading
    def test_a_lazy_import_is_seen_at_the_next_scrape(self):
        process = self.client()
        before = self.shown(process)
        self.assertEqual((before["python_gil_enabled"], modules(before)), (0, []))
        self.obey(process, "import silent")
        after = self.shown(process)
        self.assertEqual((after["python_gil_enabled"], modules(after)), (1, ["silent"]))
        self.assertEqual(after["python_threads"], 1)
        self.assertEqual(after["freethread_probe_errors_total"], 0)

    @on_free_threading
    def test_both_formats(self):
        process = self.client("import silent, prometheus_client\nfrom prometheus_client.openmetrics import exposition, parser\n")
        out = self.obey(process, "print(sorted(f.name for f in parser.text_string_to_metric_families(exposition.generate_latest(prometheus_client.REGISTRY).decode()) if 'gil' in f.name))")
        self.assertEqual(out, "['python_gil_enabled', 'python_gil_enabled_by_info']\n")

    def test_metrics_of_the_application_go_first(self):
        code = CLIENT + "gauge = prometheus_client.Gauge('python_gil_enabled', 'Mine.')\ngauge.set(7)\n"
        got = self.obey(self.client(code), "show()")
        self.assertEqual(read(got.replace("|", "\n"))["python_gil_enabled"], 7)
        self.assertEqual(got.count("# TYPE python_gil_enabled gauge"), 1)
        self.assertIn("python_threads", got)

    def test_it_is_not_imported_for_us(self):
        out, _ = self.run_program("import sys\nprint('prometheus_client' in sys.modules)", more_path=[PUBLISHED])
        self.assertEqual(out, "False\n")

    def test_the_import_looks_as_ever(self):
        code = "import sys, prometheus_client, importlib\nprint(type(prometheus_client.__loader__).__name__, len(sys.meta_path))\nimportlib.reload(prometheus_client)"
        self.assertEqual(self.run_program(code, more_path=[PUBLISHED])[0], "SourceFileLoader 3\n")

    def test_a_package_that_is_not_there(self):
        code = "for _ in range(2):\n    try: import prometheus_client\n    except ImportError as error: print(error)"
        out, err = self.run_program(code)
        self.assertEqual((out, err), ("No module named 'prometheus_client'\n" * 2, ""))

    def test_multiprocess_mode(self):
        process = self.client(PROMETHEUS_MULTIPROC_DIR=str(self.folder))
        self.assertNotIn("python_gil_enabled", self.obey(process, "show()"))
        process.stdin.close()
        process.wait()
        self.assertIn("multiprocess mode", process.stderr.read())

    def test_a_forked_worker_tells_of_itself(self):
        process = self.client(CLIENT + "import os\nif os.fork(): os.wait()\n")
        self.assertEqual(self.shown(process)["python_gil_enabled"], 0 if FREE_THREADED else 1)

    @on_free_threading
    def test_a_real_server(self):
        """gunicorn, whose worker is forked: the application's own port, and ours, which the master has."""
        self.write("app.py", "from prometheus_client import make_wsgi_app\nmetrics = make_wsgi_app()\ndef application(environ, start):\n"
                   "    if environ['PATH_INFO'] == '/gil': import silent\n    return metrics(environ, start)\n")  # fmt: skip
        own, port = free_port(), free_port()
        code = "import gunicorn.app.wsgiapp, sys\nsys.argv = ['gunicorn', '-k', 'gthread', '--threads', '4', '-b', '127.0.0.1:%d', '--no-control-socket', 'app:application']\ngunicorn.app.wsgiapp.run()" % own
        self.start(code, port=port, more_path=[PUBLISHED], PYTHONWARNINGS="ignore")
        self.assertEqual([scrape(own)["python_gil_enabled"], scrape(port)["python_gil_enabled"]], [0, 0])
        urllib.request.urlopen(f"http://127.0.0.1:{own}/gil", timeout=10).close()
        got = scrape(own)
        self.assertEqual((got["python_gil_enabled"], modules(got)), (1, ["silent"]))
        begin = time.monotonic()
        got = until(lambda: (seen := scrape(port))["python_gil_enabled"] and seen)
        self.assertLess(time.monotonic() - begin, 1.5)
        self.assertEqual(modules(got), ["silent"])


if __name__ == "__main__":
    unittest.main()
