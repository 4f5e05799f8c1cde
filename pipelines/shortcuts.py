"""Does the network judge by border, marks or origin? Probes with verdicts, and a page of pictures."""

from pathlib import Path

from pipelines.stage import MANIFEST, MAPS, PREPROCESSED, RAW, REPORTS, SHORTCUTS, TRAINED, stage
from scanlens.config.load import load_section, read_settings
from scanlens.config.schema import Runtime, Shortcuts, Tracking
from scanlens.evaluation.evaluated import read_evaluated
from scanlens.maps import files
from scanlens.scaling.device import prepare
from scanlens.shortcuts.run import probe_test_split, tracked_probes
from scanlens.sources.acquired import read_source
from scanlens.tracking.runs import data_tags, open_run

if __name__ == "__main__":
    with stage("shortcuts") as run:
        evaluated = read_evaluated(PREPROCESSED, read_source(RAW)[0], TRAINED, REPORTS)
        machine = prepare(load_section(Runtime), len(evaluated.store.shape) - 1)
        settings = load_section(Shortcuts)
        facts = probe_test_split(evaluated, MAPS / files.MAPS, settings, machine, run.folder(SHORTCUTS))
        run.report(facts, facts.get("reason") or facts["sentence"])
    with open_run(
        load_section(Tracking), read_settings(Path()), data_tags(MANIFEST), evaluated.weights_sha256
    ) as tracked:
        tracked.log_metrics(tracked_probes(facts))
        tracked.log_files(SHORTCUTS, "shortcuts")
