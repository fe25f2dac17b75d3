"""The official OFREP client against the operator's flag server: `client.py SERVER`, where SERVER is the program `flags`.

Run on both interpreters (make flag-test): on the free-threaded one the client must leave the GIL off.
"""

import os
import subprocess
import sys
import time
import unittest
import unittest.mock

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import Reason

SERVER = sys.argv.pop()
FOLDER = os.path.dirname(os.path.abspath(__file__))
KEYS = [f"user-{number}" for number in range(400)]


class Server:
    """The flag server, whose weight is told line by line."""

    def __init__(self, address="127.0.0.1:0", *more):
        command = [SERVER, "serve", "--address", address, *more]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.base = self.process.stdout.readline().strip()
        self.address = self.base.split("/")[2]

    def weight(self, weight):
        self.process.stdin.write(f"{weight}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == str(weight)

    def kill(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()


class Client(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        api.set_provider(OFREPProvider(self.server.base, timeout=0.5))
        self.client = api.get_client()
        self.until_ready()

    def tearDown(self):
        self.server.kill()

    def until_ready(self):
        deadline = time.monotonic() + 10
        while self.ask("a").reason != Reason.SPLIT:
            assert time.monotonic() < deadline, "the server does not answer"

    def ask(self, key):
        # The caller's default is the standard pool.
        return self.client.get_boolean_details("orders", False, EvaluationContext(targeting_key=key))

    def test_keys_stay_where_they_are_as_the_weight_grows(self):
        before = dict.fromkeys(KEYS, False)
        for weight in (0, 1, 5, 25, 50, 100):
            self.server.weight(weight)
            now = {key: self.ask(key).value for key in KEYS}
            self.assertFalse([key for key in KEYS if before[key] and not now[key]], f"switched back at {weight} %")
            share, chance = sum(now.values()) / len(KEYS), (weight / 100 * (1 - weight / 100) / len(KEYS)) ** 0.5
            self.assertLessEqual(abs(share - weight / 100), 4 * chance, f"{weight} %: {share:.1%}")
            before = now
        self.server.weight(0)
        self.assertFalse(any(self.ask(key).value for key in KEYS), "all leave at once")

    def test_the_words_of_an_evaluation(self):
        self.server.weight(100)
        details = self.ask("user-1")
        self.assertEqual((details.value, details.variant, details.reason), (True, "free-threaded", Reason.SPLIT))
        self.assertEqual(details.flag_metadata, {"weight": 100})
        without = self.client.get_boolean_details("orders", False)
        self.assertEqual((without.value, without.reason), (False, Reason.DEFAULT), "standard without a key")
        unknown = self.client.get_boolean_details("nothing", False, EvaluationContext(targeting_key="a"))
        self.assertEqual((unknown.value, unknown.error_code.value), (False, "FLAG_NOT_FOUND"))
        self.assertIn("no FreeThreadRollout nothing", unknown.error_message)

    def test_it_survives_the_server(self):
        self.server.weight(100)
        self.assertTrue(self.ask("user-1").value)
        self.server.kill()
        begun = time.monotonic()
        self.assertFalse(self.ask("user-1").value, "the caller's default while nobody answers")
        self.assertLess(time.monotonic() - begun, 5)
        self.server = Server(self.server.address)
        self.server.weight(100)
        self.until_ready()
        self.assertTrue(self.ask("user-1").value)

    def test_over_tls_with_an_authority_of_its_own(self):
        self.server.kill()
        self.server = Server("127.0.0.1:0", "--tls", f"{FOLDER}/tls/first")
        self.assertTrue(self.server.base.startswith("https://"))
        with unittest.mock.patch.dict(os.environ, REQUESTS_CA_BUNDLE=f"{FOLDER}/tls/ca.crt"):
            api.set_provider(OFREPProvider(self.server.base, timeout=0.5))
            self.until_ready()
            self.server.weight(100)
            self.assertTrue(self.ask("user-1").value)
        # Who does not know the authority takes the default.
        api.set_provider(OFREPProvider(self.server.base, timeout=0.5))
        self.assertFalse(self.ask("user-1").value)
        self.assertIn("CERTIFICATE_VERIFY_FAILED", self.ask("user-1").error_message)

    def test_the_gil_stays_as_it_is(self):
        self.ask("user-1")
        free_threaded = bool(__import__("sysconfig").get_config_var("Py_GIL_DISABLED"))
        self.assertEqual(getattr(sys, "_is_gil_enabled", lambda: True)(), not free_threaded)


unittest.main()
