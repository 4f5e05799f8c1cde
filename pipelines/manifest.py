"""Check every scan once, deal the patients to the splits, and let nothing through that leaks between them."""

import pandas as pd

from pipelines.stage import MANIFEST, RAW, REPORTS, stage
from scanlens.config.load import load_section
from scanlens.config.schema import Manifest, Runtime
from scanlens.manifest.build import build_manifest
from scanlens.manifest.gate.verdict import judge
from scanlens.manifest.quality import write_quality
from scanlens.manifest.report import write_leaks, write_manifest
from scanlens.scaling.engine import engine_of
from scanlens.sources.acquired import read_metadata, read_source

if __name__ == "__main__":
    with stage("manifest") as run:
        root, source = read_source(RAW)
        listing = pd.read_parquet(RAW / "listing.parquet")
        config, output = load_section(Manifest), run.folder(MANIFEST)
        built = build_manifest(
            listing,
            root,
            source,
            config,
            engine=engine_of(load_section(Runtime)),
            output=output,
            metadata=read_metadata(RAW),
        )
        facts = write_manifest(built.manifest, output, built.strata)
        facts["warnings"] += built.warnings
        write_leaks(built.leaks, REPORTS / "leaks.csv")
        # Before the gate: who is refused needs the page most.
        write_quality(
            built.manifest.assign(label=built.strata),
            built.leaks,
            built.shortcuts,
            facts["warnings"],
            built.thumbnails,
            REPORTS / "data_quality.html",
        )
        facts["warnings"] += judge(built.leaks, built.shortcuts, config.leakage)
        for warning in facts["warnings"]:
            print(f"warning: {warning}", flush=True)
        run.report(
            facts, f"{facts['accepted']} scans accepted, {facts['quarantined']} quarantined in {MANIFEST}"
        )
