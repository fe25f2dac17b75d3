"""Which pool flagd's own evaluator assigns a key to: `record.py buckets.json` writes for 1,200 keys the least weight at which each is ours.

Needs openfeature-flagd-core==2.0.0 (pip install). The document is the one that the operator serves.
"""

import json
import sys

from openfeature.contrib.tools.flagd.core.targeting.custom_ops import fractional


def least(flag, key):
    data = {"targetingKey": key, "$flagd": {"flagKey": flag}}

    def ours(weight):
        return fractional(data, ["free-threaded", weight], ["standard", 100 - weight]) == "free-threaded"

    weight = next(weight for weight in range(101) if ours(weight))
    assert all(ours(weight) for weight in range(weight, 101)), "a key switched back"
    return weight


def main():
    keys = [f"user-{number}" for number in range(900)]
    keys += ["käufer-" + "ü" * length for length in range(100)] + ["k" * length for length in range(1, 301, 3)] + ["x" * 1024]
    flags = ["orders", "a-rollout-with-a-name-of-more-than-twenty-three-bytes"]
    cases = [[flags[number % 2], key, least(flags[number % 2], key)] for number, key in enumerate(keys + keys[:100])]
    with open(sys.argv[1], "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n")


main()
