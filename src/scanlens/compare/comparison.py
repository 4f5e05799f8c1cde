"""``scanlens compare``: chosen runs in order, the two best tested on the same scans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import pandas as pd

from scanlens.compare.paired import CONFIDENCE, Paired, mismatch, paired
from scanlens.config.schema import Tracking
from scanlens.errors import SettingsError
from scanlens.tracking.compare import NEWEST, RunStore, TrackedRun, differing, lower_is_better

ORDERS = ("val.auc_macro", "val_auc", "val_loss")
"""What orders the runs where nobody says: the first that any run has. Validation, never test."""
FEW = 4
"""Settings that fit beside the metrics; more get a table of their own."""


@dataclass(frozen=True)
class Comparison:
    """Runs compared.

    Attributes:
        runs: Best first, with distinct names; those without the ordering metric last.
        by: The metric that orders them, or "" where no run has one.
        study: Name of the sweep, or "".
        settings: ``{key: [value a run]}``: what a sweep chose, else the settings in which the runs differ.
        tested: Names of the two that were tested against each other; empty where there are not two.
        test: Their paired test, or None.
        reason: Why there is none.
        notes: Plain sentences about what the numbers do not say.
    """

    runs: list[TrackedRun]
    by: str
    study: str
    settings: dict[str, list[str]]
    tested: tuple[str, ...]
    test: Paired | None
    reason: str
    notes: list[str]


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
    preferred = ""
    if study:
        preferred, runs = store.trials(study, limit)
    else:
        runs = store.named(words)[:limit] if words else store.newest(limit or NEWEST)
    names = [run.name for run in runs]
    runs = [
        store.at_chosen_epoch(
            run if names.count(run.name) == 1 else replace(run, name=f"{run.name} {run.id[:6]}")
        )
        for run in runs
    ]
    known = {name for run in runs for name in run.metrics}
    if by and by not in known:
        raise SettingsError(f"No run has a metric {by}.", f"They have: {', '.join(sorted(known)) or 'none'}.")
    by = by or next((name for name in (preferred, *ORDERS) if name in known), "")
    having = [run for run in runs if by in run.metrics]
    having.sort(key=lambda run: run.metrics[by], reverse=not lower_is_better(by))
    runs = having + [run for run in runs if by not in run.metrics]
    told = [run.choices if study else run.settings for run in runs]
    settings = {key: [mapping.get(key, "") for mapping in told] for key in differing(told)}
    tested, test, reason = _test_best(store, having)
    return Comparison(runs, by, study or "", settings, tested, test, reason, _notes(runs, by, test))


def _test_best(store: RunStore, runs: Sequence[TrackedRun]) -> tuple[tuple[str, ...], Paired | None, str]:
    # A trial that was pruned has no test predictions; the two best that have ended are meant.
    ended = [run for run in runs if run.status.lower() in ("finished", "complete")][:2]
    if len(ended) < 2:
        return (), None, "fewer than two finished runs have the metric that orders them"
    names = tuple(run.name for run in ended)
    first, second = (store.predictions(run) for run in ended)
    if first is None or second is None:
        return names, None, "a run has logged no test predictions (stage evaluation logs them)"
    if reason := mismatch(first, second):
        return names, None, reason
    return names, paired(first, second), ""


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
    facts = asdict(found)
    facts["paired"] = facts.pop("test")
    changed = facts.pop("settings")
    for index, run in enumerate(facts["runs"]):
        del run["settings"]
        run["changed"] = {key: values[index] for key, values in changed.items()}
    return json.dumps(facts, indent=2)


def interval_of(run: TrackedRun, metric: str) -> tuple[float | None, float | None, float | None]:
    """A metric's value and its interval's ends; None where there are none."""
    value, low, high = (run.metrics.get(f"{metric}{end}") for end in ("", ".low", ".high"))
    return (value, low, high) if low is not None and high is not None else (value, None, None)


def _with_interval(run: TrackedRun, metric: str) -> str:
    value, low, high = interval_of(run, metric)
    if value is None:
        return "-"
    return f"{value:.4f}" + ("" if low is None else f" ({low:.3f}-{high:.3f})")


def comparison_text(found: Comparison, metrics: Sequence[str]) -> str:
    """A line a run, then the settings that differ, then the paired test and the notes."""
    columns = {"run": [run.name for run in found.runs], "status": [run.status.lower() for run in found.runs]}
    if few := len(found.settings) <= FEW:
        columns |= found.settings
    for metric in metrics:
        if any(metric in run.metrics for run in found.runs):
            columns[metric] = [_with_interval(run, metric) for run in found.runs]
    positions = range(1, len(found.runs) + 1)
    tables = [pd.DataFrame(columns, index=positions)]
    if not few:
        tables.append(pd.DataFrame(found.settings, index=positions).T)
    lines = [table.to_string(max_colwidth=44, justify="left") + "\n" for table in tables]
    return "\n".join([*lines, *paired_lines(found), *(f"note: {note}" for note in found.notes)])


def paired_lines(found: Comparison) -> list[str]:
    """The paired test in words."""
    test = found.test
    if test is None:
        return [f"no paired test: {found.reason}"]
    first, second = found.tested
    lines = [f"{first} against {second} on the same {test.scans} test scans of {test.patients} patients:"]
    for gap in test.differences:
        text = "undefined on these scans"
        if gap.low is not None:
            interval = f"{gap.low:+.4f} to {gap.high:+.4f}, {CONFIDENCE:.0%}, over patients"
            text = f"{gap.difference:+.4f} ({interval}), p = {gap.p:.3g}"
        elif gap.difference is not None:
            text = f"{gap.difference:+.4f}, too few patients for an interval"
        lines.append(f"  {gap.metric}: {text}")
    lines.append(
        f"  right only by the first {test.only_first}, only by the second {test.only_second}: "
        f"McNemar p = {test.mcnemar:.3g}"
    )
    return lines
