"""``scanlens check --labels``: acquire and manifest in a folder that is thrown away, told to a person.

Nothing is guessed anew: the two stages themselves list, read, deal and judge, so what is said is what
``dvc repro`` will do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from scanlens.acquire.run import acquire
from scanlens.config.compose import compose_text
from scanlens.config.parse import parse
from scanlens.config.schema import Acquire, Data, Manifest
from scanlens.config.settings import Settings
from scanlens.manifest.build import Built, build_manifest
from scanlens.manifest.columns import OK
from scanlens.manifest.gate.verdict import LeakageError, judge
from scanlens.manifest.quality import intensities, readable, write_quality
from scanlens.manifest.report import summarise
from scanlens.scaling.engine import Engine
from scanlens.sources.acquired import LISTING, read_metadata, read_source
from scanlens.tasks import positive_class
from scanlens.types import SPLITS

FOLDERS = "folders"
"""In place of a label table: a folder a class."""


@dataclass(frozen=True)
class Preview:
    """What the stages acquire and manifest say of a data set.

    Attributes:
        facts: See :func:`scanlens.manifest.report.summarise`, with all ``warnings``; ``classes`` (accepted
            scans a class), ``patients_by`` (accepted scans whose patient ``table`` or ``header`` names, or
            ``nobody``), ``positive`` (a :class:`scanlens.tasks.PositiveClass` as a mapping, or None) and
            ``intensities`` (see :func:`scanlens.manifest.quality.intensities`).
        refusal: Why the pipeline would stop after the manifest, with the remedy; empty where it goes on.
        built: The manifest and what belongs to it.
    """

    facts: dict[str, Any]
    refusal: str
    built: Built


def settings_for(project: Path, root: Path, labels: str, overrides: Sequence[str]) -> Settings:
    """The project's settings with this data set in the place of its own.

    Args:
        project: Holds ``conf/``.
        root: The folder of scans.
        labels: A label table, below ``root`` or as the shell finds it, or :data:`FOLDERS`.
        overrides: Further Hydra overrides.

    Raises:
        SettingsError: Outside of a project, or an override that ``conf/`` does not take.
    """
    words = ["data=folder"]
    if labels != FOLDERS:
        table = Path(labels)
        if not (root / table).is_file() and table.resolve().is_relative_to(root.resolve()):
            table = table.resolve().relative_to(root.resolve())
        words = ["data=table", f"data.table={_quoted(table.as_posix())}"]
    text = compose_text(project, [*words, f"data.root={_quoted(str(root))}", *overrides])
    return parse(Settings, yaml.safe_load(text))


def _quoted(text: str) -> str:
    """A path as a Hydra value."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def preview(data: Data, taken: Acquire, config: Manifest, engine: Engine) -> Preview:
    """List, read and deal a data set as the stages do; nothing is kept.

    Args:
        data: The data set.
        taken: How much of it.
        config: Checks, splits and gate.
        engine: Where scans are read.

    Raises:
        SettingsError: What the stages refuse: a wrong table or column, a class without scans, too few
            patients.
    """
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder)
        # No alias book is begun for what may never be run.
        listed = acquire(data, replace(taken, paths="plain"), raw, engine)
        root, source = read_source(raw)
        listing = pd.read_parquet(raw / LISTING)
        built = build_manifest(listing, root, source, config, engine=engine, metadata=read_metadata(raw))
    facts = summarise(built.manifest, built.strata)
    facts["warnings"] = [*listed["warnings"], *facts["warnings"], *built.warnings]
    accepted = built.manifest[built.manifest["status"] == OK]
    unnamed = accepted["patient"] == "s" + accepted["scan_id"]
    by_table = listing["patient"].loc[accepted.index] != ""
    facts["patients_by"] = {
        "table": int(by_table.sum()),
        "header": int((~unnamed & ~by_table).sum()),
        "nobody": int(unnamed.sum()),
    }
    counts = built.strata[accepted.index].value_counts()
    facts["classes"] = {str(label): int(count) for label, count in sorted(counts.items())}
    positive = positive_class(source["labels"], data.positive)
    facts["positive"] = None if positive is None else asdict(positive)
    facts["intensities"] = intensities(accepted)
    refusal = ""
    try:
        facts["warnings"] += judge(built.leaks, built.shortcuts, config.leakage)
    except LeakageError as error:
        refusal = str(error)
    return Preview(facts, refusal, built)


def write_preview(found: Preview, path: Path) -> None:
    """The page of the manifest stage, see :func:`scanlens.manifest.quality.write_quality`."""
    built = found.built
    write_quality(
        built.manifest.assign(label=built.strata),
        built.leaks,
        built.shortcuts,
        [
            *([f"The pipeline would stop here. {found.refusal}"] if found.refusal else []),
            *found.facts["warnings"],
        ],
        built.thumbnails,
        path,
    )


def preview_text(found: Preview) -> str:
    """What a person is told: classes and splits, patients, quarantine, intensities, warnings, verdict."""
    facts, by = found.facts, found.facts["patients_by"]
    splits = [split for split in SPLITS if split in facts["splits"]]
    rows = [("class", "scans", *splits)]
    rows += [
        (readable(label), str(count), *(str(facts["splits"][split].get(label, 0)) for split in splits))
        for label, count in facts["classes"].items()
    ]
    rows.append(("all", str(facts["accepted"]), *(str(sum(facts["splits"][s].values())) for s in splits)))
    rows.append(
        ("patients", str(sum(facts["patients"].values())), *(str(facts["patients"][s]) for s in splits))
    )
    lines = _columns(rows)
    lines.append(
        f"patients: named by the table for {by['table']} scans, by the file for {by['header']}, "
        f"by nobody for {by['nobody']}"
    )
    if (positive := facts["positive"]) is not None:
        reason = f", a guess: {positive['reason']}; else set data.positive" if positive["reason"] else ""
        lines.append(readable(f"finding: {positive['label']}{reason}"))
    lines.append(f"quarantined: {facts['quarantined']} of {facts['scans']} scans")
    bad = found.built.manifest[found.built.manifest["status"] != OK]
    for kind, group in bad.groupby(bad["status"].str.split(":").str[0]):
        first = readable(f"{group['path'].iloc[0]}: {group['status'].iloc[0]}")
        lines.append(f"  {len(group)} {readable(kind)}, e.g. {first}")
    for row in facts["intensities"]:
        low, high = (", ".join(f"{value:.4g}" for value in row[end]) for end in ("lowest", "highest"))
        lines.append(
            f"intensity of {row['scans']} {readable(row['modality'])} scans (least, median, greatest): "
            f"lowest value {low}; highest {high}"
        )
    lines += [f"warning: {readable(sentence)}" for sentence in facts["warnings"]]
    lines.append(
        f"The pipeline would stop: {found.refusal}" if found.refusal else "The pipeline would go on."
    )
    return "\n".join(lines)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of equal length as lines: the first column to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
