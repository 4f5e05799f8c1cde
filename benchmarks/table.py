"""What every benchmark does with its numbers: print a table, write the results."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from scanlens.atomic import write_text

_HOLDS = {True: "yes", False: "NO", None: "-"}
RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: The question.
        ours: Our median, in the unit that ``what`` names.
        against: The other's median.
        ratio: What is held against the bar.
        bar: The bar, e.g. ``>= 0.9``; empty where there is none and the numbers stand side by side.
        runs: Repetitions of each.
        spread: (max - min) / median of our runs.
    """

    what: str
    ours: float
    against: float
    ratio: float
    bar: str
    runs: int
    spread: float

    @property
    def holds(self) -> bool | None:
        """Whether the ratio meets the bar; None without one."""
        if not self.bar:
            return None
        sign, limit = self.bar.split()
        return self.ratio >= float(limit) if sign == ">=" else self.ratio <= float(limit)


def is_quick() -> bool:
    """Whether ``--quick`` was given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    return bool(parser.parse_args().quick)


def median(values: list[float]) -> float:
    """The middle value."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def spread(values: list[float]) -> float:
    """(max - min) / median."""
    return (max(values) - min(values)) / median(values)


def publish(name: str, rows: list[Row]) -> None:
    """Print the rows and write ``results/<name>.json``."""
    width = max(len(row.what) for row in rows)
    print(f"{'what'.ljust(width)}  {'ours':>10}  {'against':>10}  {'ratio':>6}  bar      holds  runs  spread")
    for row in rows:
        print(
            f"{row.what.ljust(width)}  {row.ours:10.3f}  {row.against:10.3f}  {row.ratio:6.3f}  {row.bar:7}  "
            f"{_HOLDS[row.holds]:5}  {row.runs:4}  {row.spread:.2f}"
        )
    RESULTS.mkdir(exist_ok=True)
    entries = [{**asdict(row), "holds": row.holds} for row in rows]
    write_text(RESULTS / f"{name}.json", json.dumps(entries, indent=2) + "\n")
