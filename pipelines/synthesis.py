"""Train the class-conditional generator on the training split and make scans with it."""

from pipelines.stage import PREPROCESSED, SYNTHETIC, stage
from scanlens.config.load import load_section
from scanlens.config.schema import Runtime, Synthesis
from scanlens.preprocess.store import Store
from scanlens.scaling.device import prepare
from scanlens.synthesis.run import synthesise

if __name__ == "__main__":
    with stage("synthesis") as run:
        store = Store.open(PREPROCESSED)
        machine = prepare(load_section(Runtime), len(store.shape) - 1)
        facts = synthesise(
            store,
            load_section(Synthesis),
            run.folder(SYNTHETIC),
            machine.device,
            bf16=machine.precision != "32",
        )
        run.report(facts, f"{facts['made']} scans made in {SYNTHETIC}")
