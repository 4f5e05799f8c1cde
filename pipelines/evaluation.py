"""Calibrate on the validation split, score the test split, report."""

from pathlib import Path

from pipelines.stage import MANIFEST, PREPROCESSED, REPORTS, TRAINED, stage
from scanlens.config.load import load_section, read_settings
from scanlens.config.schema import Evaluation, Runtime, Tracking
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
        facts = evaluate(
            held_out.logits,
            held_out.index,
            store.labels,
            load_section(Evaluation),
            REPORTS,
            held_out.members,
        )
        with open_run(
            load_section(Tracking), read_settings(Path()), data_tags(MANIFEST), model["weights_sha256"]
        ) as tracked:
            tracked.log_metrics(tracked_metrics(facts))
            tracked.log_predictions(REPORTS / "predictions.parquet")
            for name in ("plots", "figures", "report.html", "evaluation.json"):
                tracked.log_files(REPORTS / name, name if (REPORTS / name).is_dir() else None)
        auc = facts["test"]["auc_macro"]
        interval = f" [{auc['low']:.3f}, {auc['high']:.3f}]" if auc.get("low") is not None else ""
        value = "undefined" if auc["value"] is None else f"{auc['value']:.3f}"
        run.report({}, f"test AUC {value}{interval} over {len(store.rows('test'))} scans in {REPORTS}")
