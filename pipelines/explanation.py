"""Probability maps of the test split, their scores, and the gallery."""

from pathlib import Path

import pandas as pd

from pipelines.stage import MANIFEST, MAPS, PREPROCESSED, RAW, REPORTS, TRAINED, stage
from scanlens.config.load import load_section, read_settings
from scanlens.config.schema import Explanation, Runtime, Tracking
from scanlens.evaluation.calibration import read_temperature
from scanlens.explanation.masks import mask_reader
from scanlens.explanation.number_run import explain_numbers
from scanlens.explanation.run import explain, tracked_files
from scanlens.explanation.scores import tracked_scores
from scanlens.models.heads import HEADS
from scanlens.models.predict import local_logits
from scanlens.models.saved import load_model
from scanlens.preprocess.store import Store
from scanlens.scaling.device import prepare
from scanlens.sources.acquire import read_source
from scanlens.tracking.runs import data_tags, open_run

if __name__ == "__main__":
    with stage("explanation") as run:
        store = Store.open(PREPROCESSED)
        machine = prepare(load_section(Runtime), len(store.shape) - 1)
        network, model = load_model(TRAINED)
        batches = local_logits(
            network, store, store.rows("test"), model["statistics"], machine.batch_size, machine.device
        )
        config, output = load_section(Explanation), run.folder(MAPS)
        predictions = pd.read_parquet(REPORTS / "predictions.parquet")
        masks = mask_reader(store, PREPROCESSED, read_source(RAW)[0])
        architecture = model["architecture"]
        if store.task == "regression":
            scale = architecture["centre"], architecture["spread"]
            facts = explain_numbers(batches, store, predictions, scale, config, output, masks)
        else:
            facts = explain(
                batches,
                store,
                predictions,
                read_temperature(REPORTS / "calibration.json"),
                config,
                output,
                masks,
                linear=HEADS[architecture["head"]].linear,
            )
        run.report(facts, f"maps of {facts['scans']} scans in {MAPS}, open {MAPS / 'gallery.html'}")
    with open_run(
        load_section(Tracking), read_settings(Path()), data_tags(MANIFEST), model["weights_sha256"]
    ) as tracked:
        tracked.log_metrics(tracked_scores(facts["scores"]))
        for path in tracked_files(MAPS):
            tracked.log_files(path, "maps" if path.parent == MAPS else "maps/overlays")
