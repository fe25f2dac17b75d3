"""One generator for all threads. With the GIL it raises ValueError now and then; without it the interpreter itself crashes."""

import os
import threading

THREADS, TIMES = int(os.environ.get("STRESS_THREADS", "8")), 200_000


def numbers():
    number = 0
    while True:
        yield number
        number += 1


def work() -> None:
    for _ in range(TIMES):
        try:
            next(shared)
        except (ValueError, StopIteration):  # "generator already executing", and what comes of that
            pass


shared = numbers()
threads = [threading.Thread(target=work) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
