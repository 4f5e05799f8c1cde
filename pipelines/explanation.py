"""Evidence and probability maps of the test split, and the gallery."""

from pathlib import Path

from pipelines.stage import MANIFEST, MAPS, PREPROCESSED, RAW, REPORTS, TRAINED, stage
from scanlens.config.load import load_section, read_settings
from scanlens.config.schema import Data, Explanation, Runtime, Tracking
from scanlens.evaluation.evaluated import read_evaluated
from scanlens.explanation.account import explain_test_split
from scanlens.explanation.run import tracked_files
from scanlens.maps.pointing import tracked_scores
from scanlens.scaling.device import prepare
from scanlens.sources.acquired import read_source
from scanlens.tracking.runs import data_tags, open_run

if __name__ == "__main__":
    with stage("explanation") as run:
        evaluated = read_evaluated(PREPROCESSED, read_source(RAW)[0], TRAINED, REPORTS)
        machine = prepare(load_section(Runtime), len(evaluated.store.shape) - 1)
        config, positive = load_section(Explanation), load_section(Data).positive
        facts = explain_test_split(evaluated, config, machine, run.folder(MAPS), positive)
        run.report(facts, f"maps of {facts['scans']} scans in {MAPS}, open {MAPS / 'gallery.html'}")
    with open_run(
        load_section(Tracking), read_settings(Path()), data_tags(MANIFEST), evaluated.weights_sha256
    ) as tracked:
        tracked.log_metrics(tracked_scores(facts["scores"]))
        for path in tracked_files(MAPS):
            tracked.log_files(path, "maps" if path.parent == MAPS else "maps/overlays")
