"""What no stage can work with is refused at start, by name, bound and value; a bound itself is taken."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from scanlens.config import parse as parsing
from scanlens.config.compose import compose_text
from scanlens.config.load import check_sections
from scanlens.config.schema import Runtime
from scanlens.errors import SettingsError

PROJECT = Path(__file__).resolve().parent.parent.parent
SHIPPED = yaml.safe_load(compose_text(PROJECT))
NAN = float("nan")

OUT_OF_BOUNDS: list[tuple[str, Any, str]] = [
    ("seed", -1, "between 0 and 2147483647"),
    ("data.dims", 4, "2 | 3"),
    ("data.dims", "3", "2 | 3"),
    ("data.labels", ["a", "b", "a"], "different names"),
    ("data.phantom.patients", 0, "at least 1"),
    ("data.phantom.sides", [128, 100], "[least, most], whole numbers between 64 and 4096"),
    ("data.phantom.sides", [32, 128], "between 64 and 4096"),
    ("data.phantom.sides", [128], "[least, most]"),
    ("data.phantom.scans_per_patient", [0, 2], "between 1 and 100"),
    ("data.phantom.balance", {"normal": 1.0, "mass": 1.0}, "normal, nodule, opacity, effusion"),
    ("data.phantom.balance", {"normal": 0.0}, "one of them above"),
    ("data.phantom.balance", {"normal": -1.0, "nodule": 2.0}, "at least 0"),
    ("data.phantom.difficulty", 1.5, "between 0 and 1"),
    ("data.phantom.shortcut", NAN, "between 0 and 1"),
    ("acquire.limit", 0, "at least 1 | null"),
    ("manifest.split.folds", 2, "between 3 and 1000 | null"),
    ("manifest.split.fractions", {"train": 0.7, "val": 0.2, "test": 0.2}, "sum to 1"),
    ("manifest.split.fractions", {"train": 0.7, "val": 0.3}, "train, val and test"),
    ("manifest.split.fractions", {"train": 1.2, "val": -0.1, "test": -0.1}, "each above 0"),
    ("manifest.checks.max_aspect", 0.5, "at least 1"),
    ("manifest.checks.max_saturated", 1.01, "between 0 and 1"),
    ("manifest.checks.timeout_s", 0.0, "at least 0.1"),
    ("manifest.checks.max_memory_mib", 63, "at least 64"),
    ("manifest.leakage.near_correlation", 0.4, "between 0.5 and 1"),
    ("preprocess.size", 3, "at least 4"),
    ("preprocess.size", [32, 3], "at least 4"),
    ("preprocess.spacing", 0.0, "above 0"),
    ("preprocess.spacing", [1.0, -1.0], "above 0"),
    ("preprocess.slices", 2, "an odd whole number between 1 and 99"),
    ("preprocess.slices", 101, "an odd whole number between 1 and 99"),
    ("preprocess.slices", -1, "an odd whole number between 1 and 99"),
    ("preprocess.channels", 2, "auto | 1 | 3"),
    ("preprocess.percentiles", [99.0, 1.0], "the lower first"),
    ("preprocess.percentiles", [1.0], "two numbers"),
    ("preprocess.percentiles", [-1.0, 99.0], "between 0 and 100"),
    ("preprocess.windows", [[5.0, 5.0]], "[lower, upper]"),
    ("preprocess.windows", [[0.0, 9.0], [5.0]], "[lower, upper]"),
    ("preprocess.windows", [[0.0, float("inf")]], "[lower, upper]"),
    ("preprocess.windows", [], "[lower, upper]"),
    ("preprocess.shard_rows", 0, "at least 1"),
    ("synthesis.lr", -1, "above 0 and at most 10"),
    ("synthesis.batch_size", 2, "at least 4"),
    ("synthesis.scans_per_class", 0, "at least 1"),
    ("synthesis.max_side", 7, "at least 8"),
    ("augmentation.policy.rotate_deg", -5, "between 0 and 180"),
    ("augmentation.policy.scale", 0.95, "between 0 and 0.9"),
    ("augmentation.max_factor", 0.5, "at least 1"),
    ("pretraining.policy.horizontal_flip", 1.1, "between 0 and 1"),
    ("pretraining.projection", 1, "between 2 and 65536"),
    ("model.dropout", 1, "at least 0 and below 1"),
    ("model.width", 0, "above 0 and at most 100"),
    ("model.hidden", [128, 0], "between 1 and 65536"),
    ("transfer.layer_decay", 0, "above 0 and at most 1"),
    ("transfer.views", 0, "between 1 and 1000"),
    ("training.augment_share", 7, "between 0 and 1"),
    ("training.batch_size", 1, "at least 2"),
    ("training.batch_size", 2.0, "a whole number"),
    ("training.batch_size", "32", "a whole number"),
    ("training.batch_size", True, "a whole number"),
    ("training.lr", True, "a number"),
    ("training.lr", "auto", "a number"),
    ("training.folds", 11, "between 1 and 10"),
    ("training.averaging.decay", 1, "below 1"),
    ("training.penalties.head.l2", -0.1, "between 0 and 10"),
    ("training.augment", 1, "true | false"),
    ("training.sampling", "even", "plain | balanced"),
    ("evaluation.confidence", 1, "above 0 and below 1"),
    ("evaluation.bootstrap", -1, "at least 0"),
    ("explanation.regions.threshold", 0, "above 0 and at most 1"),
    ("explanation.overlay_side", 8, "between 16 and 8192"),
    ("packaging.name", "", "not empty"),
    ("runtime.threads", 0, "auto | a whole number of at least 1"),
    ("runtime.workers", -1, "auto | a whole number of at least 0"),
    ("runtime.nodes", 1025, "between 1 and 1024"),
    ("tracking.timeout_s", 0, "above 0"),
]

CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"data.phantom": None}, r"data\.phantom is null; expected a section"),
    ({"data.kind": "table"}, r"data\.table must be given"),
    ({"data.task": "regression"}, r"data\.labels is \['normal'.*expected null"),
    ({"data.positive": "nodule"}, r"data\.positive is 'nodule'; expected one of two data\.labels"),
    (
        {"data.task": "ordinal", "data.positive": "nodule"},
        r"data\.positive is 'nodule'; expected null where data\.task is ordinal",
    ),
    ({"data.phantom.patients": 3}, r"data\.phantom\.patients is 3; expected at least 4"),
    ({"manifest.split.fold": 1}, r"manifest\.split\.fold is 1; expected 0"),
    (
        {"manifest.split.folds": 5, "manifest.split.fold": 5},
        r"manifest\.split\.fold is 5; .* at most 4",
    ),
    (
        {"manifest.split.folds": 5, "manifest.split.method": "temporal"},
        r"manifest\.split\.folds is 5; .*null",
    ),
    ({"preprocess.slices": 3}, r"preprocess\.slices is 3; expected 1 where data\.dims is 2"),
    ({"preprocess.size": [32, 32, 32]}, r"preprocess\.size is \[32, 32, 32\]; expected one number, or 2"),
    ({"preprocess.spacing": [1.0]}, r"preprocess\.spacing is \[1.0\]; expected one number, or 2"),
    (
        {"preprocess.spacing": 1.0, "preprocess.aspect": "stretch"},
        r"preprocess\.spacing is 1.0; expected null",
    ),
    (
        {"preprocess.windows": [[0, 1]], "preprocess.intensity": "minmax"},
        r"preprocess\.windows is \[\[0.0, 1.0\]\]; expected null",
    ),
    (
        {"preprocess.windows": [[0, 1], [0, 2]], "preprocess.channels": 3},
        r"preprocess\.channels is 3; expected auto or 2",
    ),
    ({"transfer.source": "file"}, r"transfer\.file must be given"),
    (
        {"model.head": "linear", "training.loss.name": "bce"},
        r"training\.loss\.name is bce; expected auto \| mse",
    ),
    (
        {"data.task": "regression", "data.labels": None, "model.head": "softmax"},
        r"model\.head is softmax; expected auto \| regression",
    ),
    (
        {"data.task": "regression", "data.labels": None, "training.sampling": "balanced"},
        r"training\.sampling is balanced; expected plain",
    ),
    (
        {"data.task": "regression", "data.labels": None, "training.loss.class_weights": "inverse"},
        r"training\.loss\.class_weights is inverse; expected none",
    ),
    (
        {"transfer.mode": "head", "training.mixing.cutmix": 1.0},
        r"training\.mixing\.cutmix is 1.0; expected 0",
    ),
    (
        {"training.use_synthetic": True, "training.folds": 5, "members": [0, 1, 2, 3, 4]},
        r"training\.use_synthetic is true; expected false",
    ),
    ({"training.folds": 3}, r"members is \[0\], but training\.folds is 3"),
    ({"model.name": "pattern"}, r"model\.args\.blocks must be given"),
    (
        {"model.name": "pattern", "model.args": {"blocks": [{"filters": 8, "kernel": 4}]}},
        r"model\.args\.blocks\[0\]\.kernel is 4, which has no middle",
    ),
    (
        {"model.name": "pattern", "model.args": {"blocks": [{"filters": 0}]}},
        r"model\.args\.blocks\[0\]\.filters is 0; expected a whole number of at least 1",
    ),
]

EDGES: list[tuple[str, Any]] = [
    ("seed", 2**31 - 1),
    ("data.phantom.sides", [64, 4096]),
    ("data.phantom.sides", [100, 100]),
    ("data.phantom.scans_per_patient", [1, 100]),
    ("data.phantom.difficulty", 1),
    ("acquire.limit", 1),
    ("manifest.split.folds", 3),
    ("manifest.split.fractions", {"test": 0.1, "train": 0.8, "val": 0.1}),
    ("manifest.checks.max_aspect", 1),
    ("manifest.checks.timeout_s", 0.1),
    ("manifest.checks.max_memory_mib", 64),
    ("manifest.leakage.near_correlation", 0.5),
    ("preprocess.size", 4),
    ("preprocess.size", [4, 5]),
    ("preprocess.slices", 1),
    ("preprocess.percentiles", [0, 100]),
    ("preprocess.windows", [[-1e9, 1e9]]),
    ("preprocess.shard_rows", 1),
    ("synthesis.lr", 10),
    ("synthesis.lr", "1e-5"),
    ("synthesis.batch_size", 4),
    ("synthesis.scans_per_class", 1),
    ("augmentation.policy.rotate_deg", 0),
    ("augmentation.policy.rotate_deg", 180),
    ("augmentation.policy.scale", 0.9),
    ("augmentation.max_factor", 1),
    ("pretraining.epochs", 0),
    ("model.dropout", 0),
    ("model.width", 100),
    ("model.hidden", [1, 65536]),
    ("transfer.backbone_lr_scale", 0),
    ("transfer.layer_decay", 1),
    ("training.augment_share", 0),
    ("training.augment_share", 1),
    ("training.batch_size", 2),
    ("training.schedule.warmup", 0.9),
    ("training.gradient_clip", 0),
    ("evaluation.confidence", 0.9999),
    ("evaluation.bootstrap", 0),
    ("explanation.regions.threshold", 1),
    ("map_scores.scans", 0),
    ("map_scores.steps", 3),
    ("shortcuts.border", 0.499),
    ("runtime.threads", 1),
    ("runtime.workers", 0),
]


def with_changes(changes: dict[str, Any]) -> dict[str, Any]:
    """The shipped settings with other values at dotted keys."""
    settings = copy.deepcopy(SHIPPED)
    for key, value in changes.items():
        *path, last = key.split(".")
        section = settings
        for part in path:
            section = section[part]
        section[last] = value
    return settings


@pytest.mark.parametrize(("key", "value", "bound"), OUT_OF_BOUNDS)
def test_out_of_bounds_is_refused_by_name_bound_and_value(key: str, value: Any, bound: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_sections(with_changes({key: value}))
    text = str(caught.value)
    assert text.startswith(f"{key} is {parsing.shown_value(value)}; expected ")
    assert bound in text
    assert "\n" not in text


@pytest.mark.parametrize(("changes", "message"), CONTRADICTIONS)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{message}"):
        check_sections(with_changes(changes))


@pytest.mark.parametrize(("key", "value"), EDGES)
def test_a_bound_is_taken(key: str, value: Any) -> None:
    check_sections(with_changes({key: value}))


@pytest.mark.parametrize("section", sorted(set(SHIPPED) - {"seed", "members", "member_lists"}))
def test_every_section_refuses_unknown_and_missing_keys_and_other_kinds(section: str) -> None:
    first = next(iter(SHIPPED[section]))
    with pytest.raises(
        SettingsError, match=rf"^{section}\.{first}x is not a setting\. Did you mean {first}\?"
    ):
        check_sections(with_changes({f"{section}.{first}x": 1}))
    settings = with_changes({})
    del settings[section][first]
    with pytest.raises(SettingsError, match=rf"^{section}\.{first} is missing"):
        check_sections(settings)
    with pytest.raises(SettingsError, match=rf"^{section} is 5; expected a section"):
        check_sections(with_changes({section: 5}))
    del settings[section]
    with pytest.raises(SettingsError, match=f"^{section} is missing"):
        check_sections(settings)


def test_a_moved_key_is_refused_with_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        parsing, "MOVED", {"explanation.marks": "shortcuts", "training.warmup": "training.schedule"}
    )
    for key, message in (
        ("explanation.marks", r"^explanation\.marks is now shortcuts\."),
        ("training.warmup", r"^training\.warmup is now training\.schedule\."),
    ):
        with pytest.raises(SettingsError, match=message):
            check_sections(with_changes({key: {}}))
    with pytest.raises(SettingsError, match=r"^explanation\.marks\.scans is now shortcuts\.scans\."):
        compose_text(PROJECT, ["explanation.marks.scans=3"])
    with pytest.raises(SettingsError, match=r"^training\.warmups is not a setting"):
        check_sections(with_changes({"training.warmups": 1}))


def test_a_choice_of_digits_needs_no_quotes() -> None:
    text = compose_text(PROJECT, ["runtime.precision=32"])
    assert parsing.parse(Runtime, yaml.safe_load(text)["runtime"], "runtime").precision == "32"
    with pytest.raises(SettingsError, match=r"runtime\.precision is 16; expected auto | 32 | bf16 | fp16"):
        compose_text(PROJECT, ["runtime.precision=16"])
