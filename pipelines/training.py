"""Train the network, each epoch logged to MLflow."""

from pathlib import Path

from pipelines.stage import AUGMENTED, MANIFEST, PREPROCESSED, PRETRAINED, SYNTHETIC, TRAINED, stage
from scanlens.config.load import load_section, read_settings
from scanlens.config.schema import Augmentation, Model, Runtime, Tracking, Training, Transfer
from scanlens.preprocess.store import Store
from scanlens.scaling.device import prepare
from scanlens.tracking.runs import WEIGHTS, data_tags, open_run
from scanlens.tracking.trial import with_sweep
from scanlens.training.run import train

FOLDERS = {"store": PREPROCESSED, "bank": AUGMENTED, "synthetic": SYNTHETIC, "pretrained": PRETRAINED}

if __name__ == "__main__":
    with (
        stage("training") as run,
        open_run(load_section(Tracking), read_settings(Path()), data_tags(MANIFEST)) as tracked,
    ):
        facts = train(
            FOLDERS,
            load_section(Model),
            load_section(Transfer),
            load_section(Training),
            load_section(Augmentation),
            prepare(load_section(Runtime), len(Store.open(PREPROCESSED).shape) - 1),
            run.folder(TRAINED),
            with_sweep(tracked.log_metrics),
        )
        tracked.set_tags({WEIGHTS: facts["weights_sha256"]})
        run.report(facts, f"{facts['epochs']} epochs on {facts['scans']} scans in {TRAINED}")
