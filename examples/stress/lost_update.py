"""A counter that every thread adds to, without a lock. With the GIL nothing gets lost, in practice; without it about half."""

import os
import threading

THREADS, TIMES = int(os.environ.get("STRESS_THREADS", "8")), 200_000


class Orders:
    counted = 0


def work() -> None:
    for _ in range(TIMES):
        Orders.counted += 1


threads = [threading.Thread(target=work) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
lost = THREADS * TIMES - Orders.counted
assert lost == 0, f"lost {lost} of {THREADS * TIMES} updates"
