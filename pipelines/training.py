"""Train one of the networks that make the classifier, each epoch logged to MLflow."""

import sys
from pathlib import Path

from pipelines.stage import (
    AUGMENTED,
    MANIFEST,
    MEMBERS,
    PREPROCESSED,
    PRETRAINED,
    REPORTS,
    SYNTHETIC,
    stage,
)
from scanlens.config.load import load_section, read_settings
from scanlens.config.schema import Augmentation, Model, Runtime, Tracking, Training, Transfer
from scanlens.preprocess.store import Store
from scanlens.scaling.device import prepare
from scanlens.tracking.runs import MEMBER, WEIGHTS_TAG, data_tags, open_run
from scanlens.tracking.trial import with_sweep
from scanlens.training.run import train

FOLDERS = {"store": PREPROCESSED, "bank": AUGMENTED, "synthetic": SYNTHETIC, "pretrained": PRETRAINED}

if __name__ == "__main__":
    member = int(sys.argv[1])
    with stage("training", REPORTS / "members" / f"{member}.json") as run:
        training = load_section(Training)
        alone = training.folds == 1
        tags = data_tags(MANIFEST) | ({} if alone else {MEMBER: str(member)})
        with open_run(load_section(Tracking), read_settings(Path()), tags) as tracked:
            facts = train(
                FOLDERS,
                load_section(Model),
                load_section(Transfer),
                training,
                load_section(Augmentation),
                prepare(load_section(Runtime), len(Store.open(PREPROCESSED).shape) - 1),
                run.folder(MEMBERS / str(member)),
                # A sweep judges by the first member alone: it hears one network's epochs.
                with_sweep(tracked.log_metrics) if member == 0 else tracked.log_metrics,
                member=member,
            )
            tracked.set_tags({WEIGHTS_TAG: facts["weights_sha256"]})
        which = "" if alone else f"member {member} of {training.folds}, "
        run.report(
            facts, f"{which}{facts['epochs']} epochs on {facts['scans']} scans in {MEMBERS / str(member)}"
        )
