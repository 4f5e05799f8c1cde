"""Do the maps deserve trust? Lesions, curves, repeatability and random networks, with controls."""

from pathlib import Path

from pipelines.stage import MANIFEST, MAP_SCORES, PREPROCESSED, RAW, REPORTS, TRAINED, stage
from scanlens.config.load import load_section, read_settings
from scanlens.config.schema import MapScores, Runtime, Tracking
from scanlens.evaluation.evaluated import read_evaluated
from scanlens.map_scores.facts import tracked_map_scores
from scanlens.map_scores.run import score_test_split
from scanlens.scaling.device import prepare
from scanlens.sources.acquired import read_source
from scanlens.tracking.runs import data_tags, open_run

if __name__ == "__main__":
    with stage("map_scores") as run:
        evaluated = read_evaluated(PREPROCESSED, read_source(RAW)[0], TRAINED, REPORTS)
        machine = prepare(load_section(Runtime), len(evaluated.store.shape) - 1)
        facts = score_test_split(evaluated, load_section(MapScores), machine, run.folder(MAP_SCORES))
        run.report(facts, facts.get("reason") or f"maps of {facts['scans']} scans scored in {MAP_SCORES}")
    with open_run(
        load_section(Tracking), read_settings(Path()), data_tags(MANIFEST), evaluated.weights_sha256
    ) as tracked:
        tracked.log_metrics(tracked_map_scores(facts))
        tracked.log_files(MAP_SCORES, "map_scores")
