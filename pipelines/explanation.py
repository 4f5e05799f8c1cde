"""Probability maps of the test split, their scores, the shortcut probes, and the gallery."""

from pathlib import Path

import pandas as pd

from pipelines.stage import MANIFEST, MAPS, PREPROCESSED, RAW, REPORTS, TRAINED, stage
from scanlens.acquire.run import read_source
from scanlens.config.load import load_section, read_settings
from scanlens.config.schema import Explanation, Runtime, Tracking
from scanlens.evaluation.calibration import read_temperature
from scanlens.explanation.account import Inputs, explain_test_split, tracked_numbers
from scanlens.explanation.run import tracked_files
from scanlens.models.saved import load_model
from scanlens.preprocess.store import Store
from scanlens.scaling.device import prepare
from scanlens.tracking.runs import data_tags, open_run

if __name__ == "__main__":
    with stage("explanation") as run:
        store = Store.open(PREPROCESSED)
        machine = prepare(load_section(Runtime), len(store.shape) - 1)
        network, model = load_model(TRAINED)
        inputs = Inputs(
            store=store,
            folder=PREPROCESSED,
            root=read_source(RAW)[0],
            network=network,
            statistics=model["statistics"],
            scale=(model["architecture"]["centre"], model["architecture"]["spread"]),
            predictions=pd.read_parquet(REPORTS / "predictions.parquet"),
            temperature=lambda: read_temperature(REPORTS / "calibration.json"),
        )
        facts = explain_test_split(inputs, load_section(Explanation), machine, run.folder(MAPS))
        run.report(facts, f"maps of {facts['scans']} scans in {MAPS}, open {MAPS / 'gallery.html'}")
    with open_run(
        load_section(Tracking), read_settings(Path()), data_tags(MANIFEST), model["weights_sha256"]
    ) as tracked:
        tracked.log_metrics(tracked_numbers(facts))
        for path in tracked_files(MAPS):
            tracked.log_files(path, "maps" if path.parent == MAPS else "maps/overlays")
