"""Top the classes up with changed copies."""

from pipelines.stage import AUGMENTED, PREPROCESSED, stage
from scanlens.augmentation.bank import build_bank
from scanlens.config.load import load_section
from scanlens.config.schema import Augmentation
from scanlens.preprocess.store import Store

if __name__ == "__main__":
    with stage("augmentation") as run:
        facts = build_bank(Store.open(PREPROCESSED), load_section(Augmentation), run.folder(AUGMENTED))
        run.report(facts, f"{facts['made']} changed copies in {AUGMENTED}")
