"""``params.yaml`` to checked dataclasses: unknown, missing and ill-typed keys fail by name.

No Hydra here: a stage, and batch inference, read the file with a plain YAML loader.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from scanlens.config import schema
from scanlens.errors import SettingsError

T = TypeVar("T")

SECTIONS: dict[str, type] = {
    "data": schema.Data,
    "acquire": schema.Acquire,
    "manifest": schema.Manifest,
    "preprocess": schema.Preprocess,
    "synthesis": schema.Synthesis,
    "augmentation": schema.Augmentation,
    "pretraining": schema.Pretraining,
    "model": schema.Model,
    "transfer": schema.Transfer,
    "training": schema.Training,
    "evaluation": schema.Evaluation,
    "explanation": schema.Explanation,
    "packaging": schema.Packaging,
    "runtime": schema.Runtime,
    "tracking": schema.Tracking,
}


def _describe(kind: Any) -> str:
    """A type in words a person who edits YAML understands."""
    if get_origin(kind) is Literal:
        return " | ".join(str(choice) for choice in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return " | ".join(_describe(option) for option in get_args(kind))
    if kind is type(None):
        return "null"
    if dataclasses.is_dataclass(kind):
        return "a section"
    if get_origin(kind) is list:
        return f"a list of {_describe(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return "a mapping"
    return {str: "text", int: "a whole number", float: "a number", bool: "true | false"}.get(kind, str(kind))


def _convert(kind: Any, value: Any, key: str) -> Any:
    """``value`` as ``kind``, or a SettingsError that names ``key``, what came and what may come."""
    origin = get_origin(kind)
    if value == "???":
        raise SettingsError(f"{key} must be given.", f"Add the override {key}=... ({_describe(kind)}).")
    if origin in (Union, types.UnionType):
        # Literals first, so that "auto" is not mistaken for text of another option.
        for option in sorted(get_args(kind), key=lambda o: get_origin(o) is not Literal):
            try:
                return _convert(option, value, key)
            except SettingsError:
                if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
                    raise
    elif origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in get_args(kind)):
            return value
    elif dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if isinstance(value, Mapping):
            return _build(kind, value, key)
    elif origin is list:
        if isinstance(value, list):
            return [_convert(get_args(kind)[0], item, f"{key}[{i}]") for i, item in enumerate(value)]
    elif origin is dict:
        if isinstance(value, Mapping):
            inner = get_args(kind)[1]
            return {str(k): _convert(inner, item, f"{key}.{k}") for k, item in value.items()}
    elif kind is Any or (kind is type(None) and value is None):
        return value
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif kind is float and isinstance(value, str):
        # YAML 1.1 reads 1e-3 as text; people write it, and Hydra hands it on.
        try:
            return float(value)
        except ValueError:
            pass
    elif isinstance(kind, type) and type(value) is kind:
        return value
    raise SettingsError(f"{key} is {value!r}; expected {_describe(kind)}.")


def _build(kind: type[T], values: Mapping[str, Any], key: str) -> T:
    """A dataclass from a mapping, every key accounted for."""
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            close = difflib.get_close_matches(str(name), hints, 1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise SettingsError(f"{key}.{name} is not a setting.", f"{hint}Keys: {', '.join(hints)}.")
    missing = [name for name in hints if name not in values]
    if missing:
        raise SettingsError(f"{key}.{missing[0]} is missing.", "Run: scanlens params")
    return kind(**{name: _convert(hints[name], values[name], f"{key}.{name}") for name in hints})


def parse(kind: type[T], values: Mapping[str, Any], key: str) -> T:
    """Settings whose shape only their reader knows, such as ``model.args``, as a dataclass.

    Args:
        kind: The dataclass.
        values: One value a field.
        key: What errors call them.

    Raises:
        SettingsError: On the first unknown, missing or ill-typed key.
    """
    return _build(kind, values, key)


def _section(kind: type[T], name: str, settings: Mapping[str, Any]) -> T:
    values = settings.get(name)
    if not isinstance(values, Mapping):
        raise SettingsError(f"Section {name} is missing from params.yaml.", "Run: scanlens params")
    return _build(kind, values, name)


DERIVED = ("members", "member_lists")
"""Keys beside the sections that only DVC reads."""
# Smallest and largest value of the numbers that would otherwise fail late and unclearly.
RANGES: dict[str, tuple[float, float]] = {
    "acquire.limit": (1, float("inf")),
    "manifest.checks.min_side": (1, float("inf")),
    "manifest.checks.max_pixels": (1, float("inf")),
    "manifest.checks.max_aspect": (1, float("inf")),
    "manifest.checks.max_saturated": (0, 1),
    "manifest.checks.timeout_s": (0.1, float("inf")),
    "manifest.checks.max_memory_mib": (64, float("inf")),
    "manifest.split.folds": (3, 1000),
    "manifest.split.fold": (0, 999),
    "manifest.leakage.near_correlation": (0.5, 1),
    "manifest.leakage.shortcut_accuracy": (0, 1),
    "preprocess.slices": (1, 99),
    "preprocess.shard_rows": (1, float("inf")),
    "synthesis.steps": (1, float("inf")),
    "synthesis.batch_size": (2, float("inf")),
    "synthesis.scans_per_class": (0, float("inf")),
    "augmentation.max_factor": (1, float("inf")),
    "pretraining.epochs": (0, float("inf")),
    "pretraining.epoch_scans": (0, float("inf")),
    "pretraining.batch_size": (2, float("inf")),
    "pretraining.lr": (1e-12, 10),
    "pretraining.weight_decay": (0, 10),
    "pretraining.projection": (2, 65536),
    "model.width": (1e-3, 100),
    "model.dropout": (0, 0.99),
    "transfer.head_epochs": (0, float("inf")),
    "transfer.block_epochs": (1, float("inf")),
    "transfer.backbone_lr_scale": (0, 100),
    "transfer.layer_decay": (1e-3, 1),
    "transfer.views": (1, 1000),
    "training.epochs": (1, float("inf")),
    "training.epoch_scans": (0, float("inf")),
    "training.batch_size": (2, float("inf")),
    "training.lr": (1e-12, 10),
    "training.weight_decay": (0, 10),
    "training.accumulate": (1, float("inf")),
    "training.optimiser.momentum": (0, 0.9999),
    "training.schedule.warmup": (0, 0.9),
    "training.schedule.final": (0, 1),
    "training.loss.label_smoothing": (0, 0.99),
    "training.loss.focal_gamma": (0, 10),
    "training.penalties.backbone.l1": (0, 10),
    "training.penalties.backbone.l2": (0, 10),
    "training.penalties.head.l1": (0, 10),
    "training.penalties.head.l2": (0, 10),
    "training.averaging.decay": (0, 0.999999),
    "training.averaging.start": (0, 1),
    "training.mixing.mixup": (0, 10),
    "training.mixing.cutmix": (0, 10),
    "training.mixing.share": (0, 1),
    "training.patience": (1, float("inf")),
    "training.gradient_clip": (0, float("inf")),
    "training.folds": (1, 10),
    "evaluation.bootstrap": (0, float("inf")),
    "evaluation.confidence": (0.01, 0.9999),
    "explanation.max_overlays": (0, float("inf")),
    "explanation.overlay_side": (16, 8192),
    "explanation.neighbours": (0, 100),
    "explanation.regions.threshold": (0.001, 1),
    "explanation.regions.least_probability": (0, 1),
    "explanation.regions.least_places": (0, float("inf")),
    "explanation.scores.scans": (0, float("inf")),
    "explanation.scores.curve_scans": (0, float("inf")),
    "explanation.scores.steps": (3, 1000),
    "explanation.scores.changes": (0, float("inf")),
    "explanation.scores.randomisations": (0, 1000),
    "explanation.scores.levels": (1, 1000),
    "explanation.scores.resamples": (0, float("inf")),
    "explanation.scores.confidence": (0.01, 0.9999),
    "explanation.shortcuts.scans": (0, float("inf")),
    "explanation.shortcuts.border": (0.001, 0.499),
    "explanation.shortcuts.bootstrap": (100, float("inf")),
    "explanation.shortcuts.confidence": (0.01, 0.9999),
    "runtime.batch_size": (1, float("inf")),
    "runtime.devices": (1, 1024),
    "runtime.nodes": (1, 1024),
    "seed": (0, 2**31 - 1),
}


def _check_ranges(settings: Mapping[str, Any]) -> None:
    for key, (low, high) in RANGES.items():
        value: Any = settings
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        # Text that got past the schema is a word like auto.
        if value is not None and not isinstance(value, str) and not low <= float(value) <= high:
            expected = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
            raise SettingsError(f"{key} is {value}; expected {expected}.")


def check_sections(settings: Any) -> None:
    """Check a whole composed configuration.

    Raises:
        SettingsError: On the first unknown, missing or ill-typed key, or number out of range.
    """
    known = {*SECTIONS, *DERIVED, "seed"}
    for name in settings:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise SettingsError(f"{name} is not a section.", f"{hint}Sections: {', '.join(sorted(known))}.")
    for name, kind in SECTIONS.items():
        _section(kind, name, settings)
    _check_ranges(settings)
    folds = settings["training"]["folds"]
    if settings.get("members") != list(range(folds)):
        raise SettingsError(
            f"members is {settings.get('members')}, but training.folds is {folds}.",
            "Set training.folds alone; then run: scanlens params",
        )


def read_settings(project: Path) -> dict[str, Any]:
    """The whole of ``params.yaml`` as plain data."""
    target = project / "params.yaml"
    if not target.is_file():
        raise SettingsError(f"{target.name} is missing.", "Run: scanlens params")
    try:
        settings = yaml.safe_load(target.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(f"params.yaml is no YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(settings, dict):
        raise SettingsError("params.yaml holds no sections.", "Run: scanlens params")
    return settings


def load_section(kind: type[T], project: Path = Path()) -> T:
    """One section of ``params.yaml`` as its dataclass.

    Args:
        kind: The schema class; it says which section.
        project: Folder that holds ``params.yaml``.

    Raises:
        SettingsError: Naming the key, what came and what may come.
    """
    name = next(section for section, candidate in SECTIONS.items() if candidate is kind)
    return _section(kind, name, read_settings(project))


def warn_if_stale(project: Path = Path()) -> bool:
    """Say so on stderr when ``conf/`` was edited after ``params.yaml`` was written.

    ``dvc repro`` never composes, so an edit of ``conf/`` alone would silently change nothing.
    """
    params = project / "params.yaml"
    newest = max((p.stat().st_mtime for p in (project / "conf").rglob("*.yaml")), default=0.0)
    stale = params.is_file() and newest > params.stat().st_mtime
    if stale:
        print(
            "warning: conf/ is newer than params.yaml, which this run uses. Run: scanlens params",
            file=sys.stderr,
        )
    return stale
