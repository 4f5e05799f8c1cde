"""Stage packaging: everything batch inference needs, in one folder, and nothing else."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

from scanlens import __version__
from scanlens.atomic import write_json
from scanlens.config.schema import Packaging
from scanlens.inference.bundle import CARD, DESCRIPTION, FORMAT, ONNX, WEIGHTS, sha256
from scanlens.inference.card import model_card
from scanlens.inference.export import export_onnx
from scanlens.models.architecture import Architecture
from scanlens.models.saved import load_model


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def package(
    config: Packaging,
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
        source: The data set's description from stage acquire.
        manifest: Folder of stage manifest.
        preprocessed: Folder of stage preprocess.
        trained: Folder of stage training.
        reports: Folder with evaluation's ``calibration.json`` and ``evaluation.json``.
        output: An empty folder.

    Returns:
        Facts for the report.
    """
    network, model = load_model(trained)
    counts = _read(manifest / "manifest.json")
    evaluation = _read(reports / "evaluation.json")
    shutil.copyfile(trained / WEIGHTS, output / WEIGHTS)
    facts: dict[str, Any] = {"labels": model["labels"], "weights_sha256": model["weights_sha256"]}
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
        "preprocessor": _read(preprocessed / "preprocessor.json"),
        "statistics": model["statistics"],
        "calibration": _read(reports / "calibration.json"),
        "lineage": {key: counts[key] for key in ("data_hash", "split_hash")},
        "versions": {
            "scanlens": __version__,
            **{name: importlib.metadata.version(name) for name in ("torch", "numpy", "pydicom")},
        },
        "test": evaluation["test"],
        "splits": counts["splits"],
        "files": {path.name: sha256(path) for path in sorted(output.iterdir())},
    }
    # The id names what decides a prediction; an exporter's bytes may differ between two equal bundles.
    deciding = ("labels", "architecture", "preprocessor", "statistics", "calibration")
    identity = json.dumps([model["weights_sha256"], *(description[key] for key in deciding)], sort_keys=True)
    description["bundle_id"] = hashlib.sha256(identity.encode()).hexdigest()[:16]
    (output / CARD).write_text(model_card(description, evaluation), encoding="utf-8")
    # Last: a folder without it is no bundle.
    write_json(output / DESCRIPTION, description)
    size = sum(path.stat().st_size for path in output.iterdir())
    return {
        **facts,
        "bundle_id": description["bundle_id"],
        "bytes": size,
        "files": sorted(description["files"]),
    }
