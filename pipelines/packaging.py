"""Put what batch inference needs, and nothing else, into the bundle."""

from pathlib import Path

from pipelines.stage import BUNDLE, MANIFEST, PREPROCESSED, RAW, REPORTS, TRAINED, stage
from scanlens.config.load import load_section, read_settings
from scanlens.config.schema import Manifest, Packaging, Tracking
from scanlens.packaging.run import PYFUNC, package
from scanlens.sources.acquired import read_source
from scanlens.tracking.runs import data_tags, open_run

if __name__ == "__main__":
    packaging = load_section(Packaging)
    with stage("packaging") as run:
        facts = package(
            packaging,
            load_section(Manifest).checks,
            read_source(RAW)[1],
            MANIFEST,
            PREPROCESSED,
            TRAINED,
            REPORTS,
            run.folder(BUNDLE),
        )
        run.report(facts, f"bundle {facts['bundle_id']} ({facts['bytes'] / 1e6:.0f} MB) in {BUNDLE}")
    tracking = load_section(Tracking)
    with open_run(tracking, read_settings(Path()), data_tags(MANIFEST), facts["weights_sha256"]) as tracked:
        tracked.log_files(BUNDLE / "MODEL_CARD.md")
        if tracking.register:
            tracked.register_bundle(BUNDLE, PYFUNC, packaging.name, facts["labels"], facts["task"])
