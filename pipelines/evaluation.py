"""Calibrate on the validation split, score the test split, report."""

from pathlib import Path

from pipelines.stage import MANIFEST, PREPROCESSED, REPORTS, TRAINED, stage
from scanlens.config.load import load_section, read_settings
from scanlens.config.schema import Data, Evaluation, Runtime, Tracking
from scanlens.estimate import Estimate
from scanlens.evaluation.cautions import descent_cautions
from scanlens.evaluation.report import tracked_metrics
from scanlens.evaluation.run import evaluate
from scanlens.models.held_out import held_out_logits
from scanlens.models.saved import load_model
from scanlens.preprocess.store import Store
from scanlens.scaling.device import prepare
from scanlens.tracking.runs import data_tags, open_run

if __name__ == "__main__":
    with stage("evaluation") as run:
        store = Store.open(PREPROCESSED)
        machine = prepare(load_section(Runtime), len(store.shape) - 1)
        network, model = load_model(TRAINED)
        held_out = held_out_logits(
            network, TRAINED, store, model["statistics"], machine.batch_size, machine.device
        )
        config = load_section(Evaluation)
        further = descent_cautions(model["first_weights"], held_out.members)
        facts = evaluate(
            held_out.logits,
            held_out.index,
            store.labels,
            config,
            REPORTS,
            held_out.members,
            store.task,
            further,
            model["architecture"]["centre"],
            load_section(Data).positive,
        )
        with open_run(
            load_section(Tracking), read_settings(Path()), data_tags(MANIFEST), model["weights_sha256"]
        ) as tracked:
            tracked.log_metrics(tracked_metrics(facts))
            tracked.log_predictions(REPORTS / "predictions.parquet")
            for name in ("plots", "figures", "report.html", "evaluation.json"):
                tracked.log_files(REPORTS / name, name if (REPORTS / name).is_dir() else None)
        found = Estimate.from_json(facts["test"][store.task.headline]).text(".3f")
        word = store.task.metrics[store.task.headline].title
        run.report({}, f"test {word} {found} over {len(store.rows('test'))} scans in {REPORTS}")
