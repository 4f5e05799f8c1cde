"""Every accepted scan becomes a row of one shape in the store."""

from pipelines.stage import MANIFEST, PREPROCESSED, RAW, stage
from scanlens.config.load import load_section
from scanlens.config.schema import Preprocess, Runtime
from scanlens.manifest.columns import read_manifest
from scanlens.preprocess.run import preprocess
from scanlens.scaling.cores import preprocess_workers
from scanlens.sources.acquire import read_source

if __name__ == "__main__":
    with stage("preprocess") as run:
        root, source = read_source(RAW)
        manifest = read_manifest(MANIFEST / "manifest.parquet")
        workers = preprocess_workers(load_section(Runtime))
        facts = preprocess(
            manifest, root, source, load_section(Preprocess), run.folder(PREPROCESSED), workers
        )
        left = f", {len(facts['left_out'])} left out" if facts["left_out"] else ""
        run.report(facts, f"{facts['stored']} scans of shape {facts['shape']} in {PREPROCESSED}{left}")
