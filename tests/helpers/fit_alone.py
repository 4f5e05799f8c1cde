"""One fit in this very process, for launchers: ``python -m tests.helpers.fit_alone FOLDER RUN.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scanlens.preprocess.store import Store
from tests.helpers.fits import run

if __name__ == "__main__":
    folder, settings = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    (folder / settings["name"]).mkdir(exist_ok=True)
    run(folder, Store.open(folder / "store"), settings)
