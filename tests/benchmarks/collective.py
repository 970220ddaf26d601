"""The sum of a step's gradients between two processes of one machine: what would make it cheaper.

The ring of sockets is what workers use, here inside a traced step. TensorFlow's own
runtime takes all gradients packed, in buckets (which could overlap with the backward
pass), or in half precision (half the bytes, and it rounds).
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time

import numpy as np
import results
import task  # noqa: F401  # silences TensorFlow before it is loaded
import tensorflow as tf

from nbkeras.transport import ports
from nbkeras.worker.backends import tensorflow as backend

SIZES, BUCKETS, TIMES = (0.1, 1.0, 4.0, 16.0), 4, 40
SECRET = b"of this benchmark"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    options.add_argument("--addresses", help=argparse.SUPPRESS)
    options.add_argument("--ring", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.rank is not None:
        print(
            "MEASURED", json.dumps(measure(chosen.rank, chosen.addresses.split(","), chosen.ring.split(",")))
        )
        return
    free = [ports.reserve("127.0.0.1") for _ in range(4)]
    places = [f"127.0.0.1:{one.getsockname()[1]}" for one in free]
    for one in free:
        one.close()
    command = [sys.executable, __file__, "--addresses", ",".join(places[:2]), "--ring", ",".join(places[2:])]
    peers = [
        subprocess.Popen([*command, "--rank", str(rank)], stdout=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    said = [one.communicate()[0] for one in peers]
    (line,) = [line for line in said[0].splitlines() if line.startswith("MEASURED")]
    rows = json.loads(line.removeprefix("MEASURED"))
    for row in rows:
        print(row)
    results.keep("collective", rows)


def measure(rank: int, addresses: list[str], ring_addresses: list[str]) -> list[dict[str, float]]:
    """Milliseconds of each way, as rank 0 or 1 sees them."""
    host, port = ring_addresses[rank].split(":")
    listener = socket.create_server((host, int(port)))
    runtime = backend.Runtime(addresses, rank)
    runtime.sum(np.ones(1))  # both are here
    sockets = backend.Sockets(listener, ring_addresses, rank, SECRET)
    rows = []
    for size in SIZES:
        number = int(size * 1e6 / 4)
        gradients = tf.random.normal([number])
        keys = iter(range(int(size * 10) * 1000, 10**9))
        packed_key, half_key, *bucket_keys = [next(keys) for _ in range(2 + BUCKETS)]

        @tf.function
        def packed(vector, key=packed_key):
            return runtime._reduce(vector, key)

        @tf.function
        def buckets(vector, keys=tuple(bucket_keys), each=number // BUCKETS):
            parts = [runtime._reduce(vector[i * each : (i + 1) * each], key) for i, key in enumerate(keys)]
            return tf.concat(parts, 0)

        @tf.function
        def half(vector, key=half_key):
            return tf.cast(runtime._reduce(tf.cast(vector, tf.float16), key), tf.float32)

        ways = {
            "ring of sockets": tf.function(sockets._summed),
            "TensorFlow's runtime": packed,
            f"in {BUCKETS} buckets": buckets,
            "in half precision": half,
        }
        spent = {f"{name} (ms)": round(milliseconds(way, gradients), 2) for name, way in ways.items()}
        rows.append({"gradients (MB)": size, **spent})
    return rows


def milliseconds(way, gradients) -> float:
    way(gradients)
    seconds = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        way(gradients)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds) * 1e3


if __name__ == "__main__":
    main()
