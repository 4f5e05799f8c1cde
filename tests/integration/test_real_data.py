"""Real scans by overrides alone: a sample of each set runs through every stage."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.pipeline import TINY, Run

pytestmark = pytest.mark.whole

SETS = {
    "cxr": ("data=table", "data.root={root}/cxr", "data.table=labels.csv", "preprocess.size=64"),
    "hippocampus": (
        "data=table", "data.root={root}/hippocampus", "data.table=labels.csv", "data.dims=3",
        "preprocess.size=16", "preprocess.aspect=stretch",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SETS))
def test_all_stages_end(name: str, checkout: Path, run: Run, shared_data: Path) -> None:
    overrides = [value.format(root=shared_data) for value in SETS[name]]
    run("scanlens", "params", *overrides, *TINY, "acquire.limit=60")
    run("dvc", "repro")
    manifest = pd.read_parquet(checkout / "data/02_manifest/manifest.parquet")
    accepted = manifest[manifest["status"] == "ok"]
    assert len(accepted) == len(manifest)
    assert 50 <= len(accepted) <= 60
    assert accepted.groupby("patient")["split"].nunique().max() == 1
    metrics = json.loads((checkout / "data/07_reports/metrics.json").read_text(encoding="utf-8"))
    assert 0 <= metrics["test"]["auc_macro"]["value"] <= 1
    assert (checkout / "data/09_bundle/bundle.json").is_file()
    assert (checkout / "data/08_maps/gallery.html").is_file()
    names = set(pd.read_csv(shared_data / name / "labels.csv")["patient_id"].astype(str))
    assert names.isdisjoint(manifest["patient"]), "a patient's own identifier reached the manifest"
