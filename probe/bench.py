"""What the probe costs: the same program without it, with it, and with its port being scraped. Ratios of medians of pairs.

    PYTHON probe/bench.py [ROUNDS]

Runs alternate (A B B A), so that a machine that grows slower during the measurement is slower for all. An A/A pair, the program
twice without the probe, says how far the ratios are to be believed.
"""

import http.client
import os
import pathlib
import statistics
import subprocess
import sys
import time
import urllib.request

INJECT = pathlib.Path(__file__).resolve().parent / "src" / "freethread_probe" / "inject"
PORT = "19317"

# The hot path of the example service: parse, add up, dump, hash.
WORK = """
import hashlib, json, sys, threading, time
document = json.dumps([{"sku": f"sku-{i % 7}", "quantity": i % 5 + 1, "price": 9.5 + i, "note": "x" * 20} for i in range(40)])
seconds, threads = float(sys.argv[1]), int(sys.argv[2])
counts = [0] * threads
def work(place):
    done = 0
    while time.perf_counter() < end:
        totals = {}
        for item in json.loads(document):
            totals[item["sku"]] = totals.get(item["sku"], 0) + item["quantity"] * item["price"]
        hashlib.sha256(json.dumps(totals).encode()).hexdigest()
        done += 1
    counts[place] = done
end, before = time.perf_counter() + seconds, time.process_time()
workers = [threading.Thread(target=work, args=[n]) for n in range(threads)]
for worker in workers: worker.start()
for worker in workers: worker.join()
memory = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(sum(counts) / (time.process_time() - before), memory)
"""
IMPORTS = "import argparse, asyncio, decimal, email.message, logging.handlers, sqlite3, ssl, unittest, xml.dom.minidom"


def environment(kind):
    env = {"PATH": os.environ["PATH"]}
    if kind != "without":
        env["PYTHONPATH"] = str(INJECT)
    if kind == "port":
        env["FREETHREAD_PROBE_PORT"] = PORT
    return env


def calls(kind):
    """Calls for each second of CPU, which others on the machine do not take away, and the memory in MB at the end."""
    process = subprocess.Popen([sys.executable, "-c", WORK, "0.5", "2"], env=environment(kind), stdout=subprocess.PIPE, text=True)
    while kind == "port" and process.poll() is None:
        time.sleep(0.1)  # 150 times as often as usual
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=1).read()
        except (OSError, http.client.HTTPException):  # not yet, or no longer
            pass
    rate, memory = process.communicate()[0].split()
    return float(rate), float(memory) / 1024


def start(kind, code="pass"):
    """Milliseconds of a program from its start to its end."""
    begin = time.perf_counter()
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], env=environment(kind), check=True)
    return (time.perf_counter() - begin) * 1000 / 2


def pairs(measure, kind, rounds):
    """Pairs of (without, with), in the order A B B A."""
    found = []
    for number in range(rounds):
        order = ["without", kind] if number % 2 == 0 else [kind, "without"]
        first, second = (measure(which) for which in order)
        found.append((first, second) if number % 2 == 0 else (second, first))
    return found


def ratio(found):
    ratios = sorted(b / a for a, b in found)
    return f"{statistics.median(ratios):.3f} (quartiles {ratios[len(ratios) // 4]:.3f} to {ratios[-1 - len(ratios) // 4]:.3f})"


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    print(f"Python {sys.version.split()[0]} {'free-threaded' if 't' in sys.abiflags else 'standard'}, {rounds} pairs")
    for kind in "without", "probe", "port":
        found = pairs(calls, kind, rounds)
        print(f"calls per CPU second, 2 threads, {kind:8}: {ratio([(a[0], b[0]) for a, b in found])}")
        print(f"memory, {kind:8}: {statistics.median(b[1] - a[1] for a, b in found):+.1f} MB")
    for kind in "without", "probe", "port":
        found = pairs(start, kind, rounds)
        print(f"start, {kind:8}: {statistics.median(b - a for a, b in found):+.1f} ms of {statistics.median(a for a, _ in found):.1f}")
    found = pairs(lambda kind: start(kind, IMPORTS), "probe", rounds)
    print(f"start with many imports, probe: {statistics.median(b - a for a, b in found):+.1f} ms of {statistics.median(a for a, _ in found):.1f}")


if __name__ == "__main__":
    main()
