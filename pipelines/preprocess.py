"""Every accepted scan becomes a row of one shape in the store."""

import sys
from pathlib import Path

from pipelines.stage import MANIFEST, PREPROCESSED, RAW, stage
from scanlens.config.load import load_section
from scanlens.config.schema import Preprocess, Runtime
from scanlens.manifest.columns import read_manifest
from scanlens.preprocess.run import preprocess
from scanlens.scaling.engine import engine_of
from scanlens.sources.acquired import read_source

CACHE = Path(".scanlens/preprocessed")
"""Finished shards of killed and earlier runs; DVC does not know it, and deleting it costs time only."""

if __name__ == "__main__":
    with stage("preprocess") as run:
        root, source = read_source(RAW)
        manifest = read_manifest(MANIFEST / "manifest.parquet")
        facts = preprocess(
            manifest,
            root,
            source,
            load_section(Preprocess),
            run.folder(PREPROCESSED),
            engine_of(load_section(Runtime)),
            cache=CACHE,
        )
        for warning in facts["warnings"]:
            print(f"warning: {warning}", file=sys.stderr, flush=True)
        reused = facts["stored"] - facts["decoded"]
        extra = f", {reused} of them from an earlier run" if reused else ""
        extra += f", {len(facts['left_out'])} left out" if facts["left_out"] else ""
        run.report(facts, f"{facts['stored']} scans of shape {facts['shape']} in {PREPROCESSED}{extra}")
