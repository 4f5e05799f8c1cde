"""How long do people wait for nothing: ``scanlens --help``, and ``dvc repro`` when all is up to date."""

from __future__ import annotations

import subprocess
import time

from benchmarks.table import Row, is_quick, median, publish, spread


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    runs = 5 if is_quick() else 15
    rows = []
    for command, limit in ((["scanlens", "--help"], 0.5), (["dvc", "repro"], 3.0)):
        seconds(command)
        # Interleaved with the bare interpreter: what starting Python costs here is not ours to save.
        ours, bare = [], []
        for _ in range(runs):
            ours.append(seconds(command))
            bare.append(seconds(["python", "-c", "pass"]))
        rows.append(
            Row(
                f"{' '.join(command)}: s against {limit} s allowed (bare Python: {median(bare):.2f} s)",
                median(ours),
                limit,
                median(ours) / limit,
                "<= 1.0",
                runs,
                spread(ours),
            )
        )
    publish("commands", rows)


if __name__ == "__main__":
    main()
