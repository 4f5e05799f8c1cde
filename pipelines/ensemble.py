"""Join the trained networks to one classifier."""

from pipelines.stage import MEMBERS, REPORTS, TRAINED, stage
from scanlens.config.load import load_section
from scanlens.config.schema import Training
from scanlens.ensemble.join import join

if __name__ == "__main__":
    with stage("ensemble") as run:
        folds = load_section(Training).folds
        facts = join(MEMBERS, REPORTS / "members", folds, run.folder(TRAINED))
        run.report(facts, f"{folds} network{'s' if folds > 1 else ''} in {TRAINED}")
