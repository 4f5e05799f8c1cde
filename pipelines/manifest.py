"""Check every scan once and deal the patients to the splits."""

import pandas as pd

from pipelines.stage import MANIFEST, RAW, stage
from scanlens.config.load import load_section
from scanlens.config.schema import Manifest
from scanlens.manifest.build import build_manifest
from scanlens.manifest.report import write_manifest
from scanlens.sources.acquire import read_source

if __name__ == "__main__":
    with stage("manifest") as run:
        root, source = read_source(RAW)
        listing = pd.read_parquet(RAW / "listing.parquet")
        manifest = build_manifest(listing, root, source, load_section(Manifest))
        facts = write_manifest(manifest, run.folder(MANIFEST))
        for warning in facts["warnings"]:
            print(f"warning: {warning}", flush=True)
        run.report(
            facts, f"{facts['accepted']} scans accepted, {facts['quarantined']} quarantined in {MANIFEST}"
        )
