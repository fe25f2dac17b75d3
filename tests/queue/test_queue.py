"""No order of the queue example is lost: when its pool ends, when it dies, when it never was. The interpreter that runs this runs the workers."""

import signal
import sysconfig
import unittest

from stage import DEADLINE, Flag, Stage, Worker, until

POOL = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "standard"


class Queue(unittest.TestCase):
    def setUp(self):
        self.stage = Stage()
        self.addCleanup(self.stage.close)

    def pools(self):
        return Worker(self.stage, "orders"), Worker(self.stage, "orders-ft")

    def test_a_pool_that_keeps_up_has_its_queue_for_itself(self):
        self.stage.fallback_age = DEADLINE  # on a busy machine no pool keeps up
        standard, ours = self.pools()
        Flag.weight = 50
        self.stage.order(200)
        ledger = self.stage.all_done()
        self.assertEqual((ledger["taken"], ledger["twice"]), (200, 0))
        self.assertEqual(ledger["gil"], {f"{POOL}: {'off' if POOL == 'free-threaded' else 'on'}": 200})
        self.assertEqual(standard.done("orders-ft"), 0)
        self.assertEqual(standard.done("orders") + ours.done("orders-ft"), 200)
        self.assertTrue(60 < ours.done("orders-ft") < 140, ours.done("orders-ft"))

    def test_what_a_pool_leaves_when_it_is_told_to_end_is_taken_over_and_nothing_is_done_twice(self):
        standard, ours = self.pools()
        Flag.weight = 100
        ours.faults({"slow_ms": 200})
        self.stage.order(60)
        until("it is in the middle of it", lambda: ours.done("orders-ft") > 4)
        Flag.weight = 0
        self.assertEqual(ours.stop(signal.SIGTERM), 0)
        self.stage.order(20)
        ledger = self.stage.all_done()
        self.assertEqual((ledger["taken"], ledger["twice"]), (80, 0))
        self.assertGreater(standard.done("orders-ft"), 0)

    def test_what_a_killed_pool_had_fetched_is_taken_over(self):
        standard, ours = self.pools()
        Flag.weight = 100
        ours.faults({"slow_ms": 5000})
        self.stage.order(20)
        until("it is in the middle of it", lambda: ours.done("orders-ft") >= 1)
        ours.stop(signal.SIGKILL)
        ledger = self.stage.all_done()
        # Done and not acknowledged: at most what its four threads were at.
        self.assertLessEqual(ledger["twice"], 4)
        self.assertGreater(standard.done("orders-ft"), 8, "the fetched ones among them")

    def test_failed_orders_are_tried_again_by_whoever_is_left(self):
        standard, ours = self.pools()
        Flag.weight = 100
        ours.faults({"errors": 1})
        self.stage.order(30)
        until("all have failed", lambda: ours.done("orders-ft") >= 30)
        self.assertEqual(ours.stop(signal.SIGTERM), 0)
        ledger = self.stage.all_done()
        self.assertEqual(ledger["twice"], 0)
        self.assertGreaterEqual(standard.done("orders-ft"), 30)

    def test_without_a_pool_the_standard_one_does_it_all(self):
        standard = Worker(self.stage, "orders")
        Flag.weight = 100
        self.stage.order(20)
        self.assertEqual(self.stage.all_done()["twice"], 0)
        self.assertEqual(standard.done("orders-ft"), 20)

    def test_without_an_answer_of_the_flag_it_is_the_standard_queue(self):
        standard = Worker(self.stage, "orders")
        Flag.weight = 100
        self.stage.flag.shutdown()
        self.stage.flag.server_close()
        self.stage.order(5)
        self.stage.all_done()
        self.assertEqual(standard.done("orders"), 5)


if __name__ == "__main__":
    unittest.main()
