"""Raw scans and labels in: list the data set, or draw the phantoms."""

from pipelines.stage import RAW, stage
from scanlens.acquire.run import acquire
from scanlens.config.load import load_section
from scanlens.config.schema import Acquire, Data, Runtime
from scanlens.scaling.engine import engine_of

if __name__ == "__main__":
    with stage("acquire") as run:
        data = load_section(Data)
        facts = acquire(data, load_section(Acquire), run.folder(RAW), engine_of(load_section(Runtime)))
        for warning in facts["warnings"]:
            print(f"warning: {warning}", flush=True)
        run.report(facts, f"{facts['scans']} scans of {data.root} listed in {RAW}")
