"""Stage packaging: everything batch inference needs, in one folder, and nothing else."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scanlens import __version__
from scanlens.atomic import write_json, write_text
from scanlens.config.schema import Checks, Packaging
from scanlens.inference.bundle import CARD, DESCRIPTION, FORMAT, ONNX, WEIGHTS, identity, sha256
from scanlens.models.architecture import Architecture
from scanlens.models.saved import load_model
from scanlens.packaging.card import model_card
from scanlens.packaging.export import export_onnx

PYFUNC = Path(__file__).parents[1] / "inference" / "pyfunc.py"
"""The script that MLflow stores with a registered bundle."""


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def package(
    config: Packaging,
    checks: Checks,
    source: dict[str, Any],
    manifest: Path,
    preprocessed: Path,
    trained: Path,
    reports: Path,
    output: Path,
) -> dict[str, Any]:
    """Write the bundle.

    Args:
        config: Section ``packaging``.
        checks: What a scan had to be at training.
        source: The data set's description from stage acquire.
        manifest: Folder of stage manifest.
        preprocessed: Folder of stage preprocess.
        trained: Folder of stage ensemble.
        reports: Folder with evaluation's ``calibration.json`` and ``evaluation.json``.
        output: An empty folder.

    Returns:
        Facts for the report.
    """
    network, model = load_model(trained)
    counts = _read(manifest / "manifest.json")
    evaluation = _read(reports / "evaluation.json")
    shutil.copyfile(trained / WEIGHTS, output / WEIGHTS)
    facts: dict[str, Any] = {
        "labels": model["labels"],
        "task": source["task"],
        "weights_sha256": model["weights_sha256"],
    }
    if config.onnx:
        facts["onnx_difference"] = export_onnx(
            network, Architecture.from_json(model["architecture"]), output / ONNX
        )
    description: dict[str, Any] = {
        "format": FORMAT,
        "name": config.name,
        "labels": model["labels"],
        "task": source["task"],
        "dims": source["dims"],
        "architecture": model["architecture"],
        "members": model.get("members", 1),
        "preprocessor": _read(preprocessed / "preprocessor.json"),
        "statistics": model["statistics"],
        "calibration": _read(reports / "calibration.json"),
        "positive": (evaluation.get("positive") or {}).get("label"),
        "checks": asdict(checks),
        "lineage": {key: counts[key] for key in ("data_hash", "split_hash")},
        "versions": {
            "scanlens": __version__,
            **{name: importlib.metadata.version(name) for name in ("torch", "numpy", "pydicom")},
        },
        "test": evaluation["test"],
        "splits": counts["splits"],
    }
    description["bundle_id"] = identity(description, model["weights_sha256"])
    write_text(output / CARD, model_card(description, evaluation))
    description["files"] = {path.name: sha256(path) for path in sorted(output.iterdir())}
    # Last: a folder without it is no bundle.
    write_json(output / DESCRIPTION, description)
    size = sum(path.stat().st_size for path in output.iterdir())
    return {
        **facts,
        "bundle_id": description["bundle_id"],
        "bytes": size,
        "files": sorted(description["files"]),
    }
