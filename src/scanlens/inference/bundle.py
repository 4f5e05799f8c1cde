"""What a bundle is: a folder of plain files that batch inference loads without running any code from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanlens.config.parse import parse
from scanlens.config.schema import Checks
from scanlens.errors import BundleError, SettingsError
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.tasks import Task, task_of

FORMAT = 5
DESCRIPTION = "bundle.json"
WEIGHTS = "model.safetensors"
ONNX = "model.onnx"
CARD = "MODEL_CARD.md"
_REQUIRED = (
    "format", "name", "bundle_id", "labels", "task", "dims", "architecture", "preprocessor", "statistics",
    "calibration", "checks", "lineage", "versions", "files",
)  # fmt: skip


_CHECKS_BEFORE = {"max_wobble": 0.001}  # what readers allowed when bundles did not say it
# What decides a prediction; an exporter's bytes may differ between two equal bundles.
_DECIDING = ("labels", "dims", "architecture", "preprocessor", "statistics", "calibration", "checks")


def identity(description: Mapping[str, Any], weights_sha256: str) -> str:
    """The bundle's id: 16 hex digits of a SHA-256 over its weights and all that decides a prediction.

    Example:
        >>> description = dict.fromkeys(_DECIDING, "as trained") | {"name": "lung"}
        >>> first, renamed = identity(description, "w1"), identity(description | {"name": "chest"}, "w1")
        >>> len(first), first == renamed, first == identity(description | {"labels": ["a", "b"]}, "w1")
        (16, True, False)
    """
    content = json.dumps([weights_sha256, *(description[key] for key in _DECIDING)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class Bundle:
    """A bundle's description, checked.

    Attributes:
        folder: Where it is.
        bundle_id: From :func:`identity`; predictions carry it.
        checks: What a scan must be to be predicted, as at training.
        labels: Class names in the logits' order; for task ``regression`` the number's name.
        task: What its predictions are.
        dims: 2 or 3.
        preprocessor: The training's own.
        statistics: Mean and standard deviation a channel.
        temperature: Logits are divided by it.
        architecture: Plain values that rebuild the network by registry name.
        description: The whole of ``bundle.json``.
    """

    folder: Path
    bundle_id: str
    labels: list[str]
    dims: int
    preprocessor: Preprocessor
    statistics: dict[str, Any]
    temperature: float
    architecture: dict[str, Any]
    checks: Checks
    task: Task
    description: dict[str, Any]

    @property
    def half_width(self) -> float | None:
        """Of the interval that a predicted number comes with; None without one."""
        width: float | None = self.description["calibration"].get("half_width")
        return width

    @property
    def set_threshold(self) -> float | None:
        """Calibrated probability from which a class is in a scan's prediction set; None without sets."""
        threshold: float | None = self.description["calibration"].get("set_threshold")
        return threshold

    @property
    def positive(self) -> str | None:
        """Of two classes the finding, as evaluation took it; None where there are others."""
        label: str | None = self.description.get("positive")
        return label

    @property
    def scale(self) -> tuple[float, float]:
        """Mean and standard deviation of the numbers learnt from: the scale of their maps."""
        return self.architecture["centre"], self.architecture["spread"]


def open_bundle(folder: Path) -> Bundle:
    """Read and verify a bundle; every file it lists must have the listed SHA-256.

    Raises:
        BundleError: Naming the file and what is wrong with it.
    """
    target = folder / DESCRIPTION
    if not target.is_file():
        raise BundleError(
            f"{folder}: no bundle here ({DESCRIPTION} is missing).", "Run stage packaging first."
        )
    try:
        description = json.loads(target.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"{target}: not readable as JSON ({error}).") from error
    if not isinstance(description, dict) or (missing := [k for k in _REQUIRED if k not in description]):
        raise BundleError(
            f"{target}: lacks {', '.join(missing) if isinstance(description, dict) else 'everything'}."
        )
    if description["format"] != FORMAT:
        raise BundleError(
            f"{target}: bundle format {description['format']}, this scanlens reads {FORMAT}.",
            "Install the scanlens version named in its model card.",
        )
    if not isinstance(description["files"], dict):
        raise BundleError(f"{target}: malformed (files is no mapping).")
    for name, expected in description["files"].items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise BundleError(f"{path}: listed in {DESCRIPTION} but missing.", "Copy the whole folder again.")
        if sha256(path) != expected:
            raise BundleError(
                f"{path}: altered since packaging (SHA-256 differs).", "Copy the whole folder again."
            )
    if WEIGHTS not in description["files"] or CARD not in description["files"]:
        raise BundleError(f"{target}: lists no {WEIGHTS} or no {CARD}.", "Run stage packaging again.")
    if identity(description, description["files"][WEIGHTS]) != description["bundle_id"]:
        raise BundleError(f"{target}: altered since packaging (its id differs).", "Copy the folder again.")
    try:
        return Bundle(
            folder=folder,
            bundle_id=str(description["bundle_id"]),
            labels=[str(label) for label in description["labels"]],
            dims=int(description["dims"]),
            preprocessor=Preprocessor.from_json(description["preprocessor"]),
            statistics=description["statistics"],
            temperature=float(description["calibration"]["temperature"]),
            architecture=description["architecture"],
            checks=parse(Checks, _CHECKS_BEFORE | description["checks"], "checks"),
            task=task_of(str(description["task"])),
            description=description,
        )
    except (KeyError, TypeError, ValueError, SettingsError) as error:
        raise BundleError(f"{target}: malformed ({error}).") from error
