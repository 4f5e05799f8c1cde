"""First lessons: on made scans, or on scans without their labels."""

from pipelines.stage import PREPROCESSED, PRETRAINED, SYNTHETIC, stage
from scanlens.config.load import load_section
from scanlens.config.schema import Augmentation, Model, Pretraining, Runtime, Transfer
from scanlens.preprocess.store import Store
from scanlens.pretraining.run import pretrain
from scanlens.scaling.device import prepare

if __name__ == "__main__":
    with stage("pretraining") as run:
        facts = pretrain(
            PREPROCESSED,
            SYNTHETIC,
            load_section(Model),
            load_section(Transfer),
            load_section(Pretraining),
            load_section(Augmentation),
            prepare(load_section(Runtime), len(Store.open(PREPROCESSED).shape) - 1),
            run.folder(PRETRAINED),
        )
        run.report(
            facts, f"{facts['epochs']} {facts['method']} epochs on {facts['scans']} scans in {PRETRAINED}"
        )
