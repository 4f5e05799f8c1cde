"""``scanlens compare``: chosen runs in order, the two best tested on the same scans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scanlens.atomic import write_text
from scanlens.config.schema import Tracking
from scanlens.errors import SettingsError
from scanlens.search.paired import CONFIDENCE, Paired, mismatch, paired
from scanlens.search.plan import LOWER_IS_BETTER
from scanlens.tracking.compare import NEWEST, RunStore, TrackedRun

ORDERS = ("val.auc_macro", "val_auc", "val_loss")
"""What orders the runs where nobody says: the first that any run has. Validation, never test."""
CURVES = ("val_loss", "val_auc", "train_loss")
WIDEST = 44
"""Letters of a value in the text table."""


@dataclass(frozen=True)
class Comparison:
    """Runs compared.

    Attributes:
        runs: Best first; those without the ordering metric last.
        by: The metric that orders them, or "" where no run has one.
        study: Name of the sweep, or "".
        curves: ``{metric: {run label: [(epoch, value), ...]}}``.
        tested: Labels of the two that were tested against each other, or None.
        test: Their paired test, or None.
        reason: Why there is none.
        notes: Plain sentences about what the numbers do not say.
        target: Run that a page is logged to.
    """

    runs: list[TrackedRun]
    by: str
    study: str
    curves: dict[str, dict[str, list[tuple[int, float]]]]
    tested: tuple[str, str] | None
    test: Paired | None
    reason: str
    notes: list[str]
    target: str

    @property
    def labels(self) -> list[str]:
        """A distinct name a run."""
        return _labels(self.runs)

    @property
    def changed(self) -> list[str]:
        """Columns that tell the runs apart: what a sweep chose, else the settings that differ."""
        if self.study:
            return list(dict.fromkeys(key for run in self.runs for key in run.choices))
        return list(self.runs[0].changed) if self.runs else []

    def setting(self, run: TrackedRun, key: str) -> str:
        """One run's value of one of :attr:`changed`."""
        return run.choices.get(key, "") if self.study else run.changed.get(key, "")


def compare(
    tracking: Tracking, words: Sequence[str], study: str | None, limit: int | None, by: str = ""
) -> Comparison:
    """Read runs and compare them.

    Args:
        tracking: Section ``tracking``.
        words: Ids or names; empty takes the newest.
        study: A sweep, whose trials are compared.
        limit: How many at most; None is all that are named, all trials, or the newest few.
        by: Metric that orders them; "" takes what the sweep optimised, else the first of :data:`ORDERS`
            that there is.

    Raises:
        ScanlensError: Nothing is tracked, or a run is unknown.
    """
    if words and study:
        raise SettingsError("Runs and a study are named at once.", "Name runs, or --study NAME.")
    store = RunStore(tracking)
    target = preferred = ""
    if study:
        target, runs = store.trials(study, limit)
        preferred = store.objective(target)
    else:
        runs = store.named(words)[:limit] if words else store.newest(limit or NEWEST)
        target = max(runs, key=lambda run: run.started).id if runs else ""
    runs = [store.at_chosen_epoch(run) for run in runs]
    known = {name for run in runs for name in run.metrics}
    if by and by not in known:
        raise SettingsError(f"No run has a metric {by}.", f"They have: {', '.join(sorted(known)) or 'none'}.")
    by = by or next((name for name in (preferred, *ORDERS) if name in known), "")
    runs = _ordered(runs, by)
    labels = _labels(runs)
    curves = {
        metric: {
            label: points
            for label, run in zip(labels, runs, strict=True)
            if metric in run.metrics and (points := store.curve(run, metric))
        }
        for metric in CURVES
    }
    tested, test, reason = _test_best(store, runs, labels, by)
    return Comparison(
        runs,
        by,
        study or "",
        {metric: series for metric, series in curves.items() if series},
        tested,
        test,
        reason,
        _notes(runs, by, test),
        target,
    )


def lower_is_better(metric: str) -> bool:
    """Whether the best run has the smallest value."""
    return metric.replace(".", "_").rsplit("_", 1)[-1] in LOWER_IS_BETTER


def _labels(runs: Sequence[TrackedRun]) -> list[str]:
    names = [run.name for run in runs]
    return [run.name if names.count(run.name) == 1 else f"{run.name} {run.id[:6]}" for run in runs]


def _ordered(runs: list[TrackedRun], by: str) -> list[TrackedRun]:
    having = [run for run in runs if by in run.metrics]
    having.sort(key=lambda run: run.metrics[by], reverse=not lower_is_better(by))
    return having + [run for run in runs if by not in run.metrics]


def _test_best(
    store: RunStore, runs: Sequence[TrackedRun], labels: Sequence[str], by: str
) -> tuple[tuple[str, str] | None, Paired | None, str]:
    # A trial that was pruned has no test predictions; the two best that have ended are meant.
    candidates = [
        (label, run)
        for label, run in zip(labels, runs, strict=True)
        if by in run.metrics and run.status.lower() in ("finished", "complete")
    ]
    if len(candidates) < 2:
        return None, None, "fewer than two finished runs have the metric that orders them"
    (label, first), (other, second) = candidates[:2]
    tables = store.predictions(first), store.predictions(second)
    if reason := mismatch(*tables):
        return (label, other), None, reason
    assert tables[0] is not None
    assert tables[1] is not None
    return (label, other), paired(tables[0], tables[1]), ""


def _notes(runs: Sequence[TrackedRun], by: str, test: Paired | None) -> list[str]:
    notes = []
    count = len([run for run in runs if any(name.startswith("test.") for name in run.metrics)])
    if count > 1:
        notes.append(
            f"The best test number of {count} runs is too good: the more runs, the likelier that luck is on "
            "top. Choose by validation, and quote the test number of the chosen run alone."
        )
    if by.startswith("test"):
        notes.append(
            f"The runs are ordered by {by}: the test split has chosen the two best, so the test between them "
            "flatters the first."
        )
    if test is not None and len(runs) > 2:
        pairs = len(runs) * (len(runs) - 1) // 2
        notes.append(
            f"The p-values are of one planned pair. {len(runs)} runs make {pairs} pairs: were each tested, p "
            f"would have to be below {0.05 / pairs:.2g} (Bonferroni) to mean what 0.05 means for one."
        )
    if len({run.data for run in runs if run.data}) > 1:
        notes.append("The runs saw different data: their numbers do not compare.")
    return notes


def as_json(found: Comparison) -> str:
    """Everything, for programs."""
    return json.dumps(
        {
            "by": found.by,
            "study": found.study or None,
            "runs": [
                {key: value for key, value in asdict(run).items() if key != "settings"} for run in found.runs
            ],
            "tested": found.tested,
            "paired": asdict(found.test) if found.test else None,
            "reason": found.reason or None,
            "notes": found.notes,
        },
        indent=2,
    )


def with_interval(run: TrackedRun, metric: str) -> str:
    """A metric as text, with its interval where it has one."""
    if metric not in run.metrics:
        return "-"
    low, high = run.metrics.get(f"{metric}.low"), run.metrics.get(f"{metric}.high")
    interval = f" ({low:.3f}-{high:.3f})" if low is not None and high is not None else ""
    return f"{run.metrics[metric]:.4f}{interval}"


def as_text(found: Comparison, metrics: Sequence[str]) -> str:
    """A line a run, then the settings that differ, then the paired test and the notes."""
    shown = [name for name in metrics if any(name in run.metrics for run in found.runs)]
    few = found.changed if len(found.changed) <= 4 else []
    lines = [["", "run", "status", *few, *shown]]
    for position, (label, run) in enumerate(zip(found.labels, found.runs, strict=True), 1):
        lines.append(
            [
                str(position),
                label,
                run.status.lower(),
                *(_short(found.setting(run, key)) for key in few),
                *(with_interval(run, name) for name in shown),
            ]
        )
    text = _columns(lines)
    if found.changed and not few:
        numbers = [str(position) for position in range(1, len(found.runs) + 1)]
        table = [
            ["setting", *numbers],
            *([key, *(_short(found.setting(run, key)) for run in found.runs)] for key in found.changed),
        ]
        text += "\n\n" + _columns(table)
    return "\n".join([text, "", *paired_lines(found), *(f"note: {note}" for note in found.notes)]).rstrip()


def paired_lines(found: Comparison) -> list[str]:
    """The paired test in words."""
    if found.test is None or found.tested is None:
        return [f"no paired test: {found.reason}"]
    first, second = found.tested
    test = found.test
    lines = [f"{first} against {second} on the same {test.scans} test scans of {test.patients} patients:"]
    for difference in test.differences:
        if difference.difference is None:
            lines.append(f"  {difference.metric}: undefined on these scans")
        elif difference.low is None:
            lines.append(
                f"  {difference.metric}: {difference.difference:+.4f}, too few patients for an interval"
            )
        else:
            lines.append(
                f"  {difference.metric}: {difference.difference:+.4f} ({difference.low:+.4f} to "
                f"{difference.high:+.4f}, {CONFIDENCE:.0%}, over patients), p = {difference.p:.3g}"
            )
    lines.append(
        f"  right only by the first {test.only_first}, only by the second {test.only_second}: "
        f"McNemar p = {test.mcnemar:.3g}"
    )
    return lines


def _short(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def _columns(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def write_page(found: Comparison, path: Path, log_to: Tracking | None) -> None:
    """Write the comparison as one HTML file, and log it if asked.

    Args:
        found: The comparison.
        path: File to write.
        log_to: Section ``tracking`` of the store to which the page is logged too, as an artefact of the
            sweep's run or of the newest run; None keeps it here.
    """
    from scanlens.search.page import render_page

    write_text(path, render_page(found))
    if log_to is not None and found.target:
        RunStore(log_to).log_file(found.target, path)
