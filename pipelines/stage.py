"""What every stage does around its one call: time it, make its outputs appear whole, report, fail clearly."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

# A log wants a line now and then, a terminal a moving bar; tqdm reads this when it is imported.
if not sys.stderr.isatty():
    os.environ.setdefault("TQDM_MININTERVAL", "10")
# Threads that spin while they wait starve each other on a machine that has other work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from scanlens.atomic import write_json
from scanlens.config.kept import refuse_forgotten_data
from scanlens.config.load import check_sections, read_settings, warn_if_stale
from scanlens.config.outputs import refuse_output
from scanlens.errors import TERMINATED, ScanlensError, system_line
from scanlens.ranks import is_first

RAW = Path("data/01_raw/acquired")
MANIFEST = Path("data/02_manifest")
PREPROCESSED = Path("data/03_preprocessed")
SYNTHETIC = Path("data/04_synthetic")
AUGMENTED = Path("data/05_augmented")
PRETRAINED = Path("data/06_models/pretrained")
MEMBERS = Path("data/06_models/members")
TRAINED = Path("data/06_models/trained")
REPORTS = Path("data/07_reports")
MAPS = Path("data/08_maps")
MAP_SCORES = Path("data/07_reports/map_scores")
SHORTCUTS = Path("data/07_reports/shortcuts")
BUNDLE = Path("data/09_bundle")

STOPPED = "stopped. The same command goes on from what is kept."


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target`` that takes its place when the block ends without an error."""
    if not is_first():
        # One of several training processes: the first one writes.
        with tempfile.TemporaryDirectory() as unused:
            yield Path(unused)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)


class Stage:
    """One running stage.

    Args:
        name: The stage's word.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.summary = ""
        self.facts: dict[str, Any] = {}
        self._stack = ExitStack()

    def folder(self, target: Path) -> Path:
        """A folder to fill; it becomes ``target`` when the stage succeeds."""
        return self._stack.enter_context(whole_folder(target))

    def report(self, facts: dict[str, Any], summary: str) -> None:
        """Say what was done.

        Args:
            facts: For ``data/07_reports/<stage>.json``.
            summary: How many and where, in one line.
        """
        self.facts, self.summary = facts, summary


@contextmanager
def stage(name: str, report: Path | None = None) -> Iterator[Stage]:
    """Run the body as stage ``name``; a refusal ends the process with exit code 1 and one clear line.

    So do a full disk, want of memory and what the operating system refuses. Stopped by hand it ends with 130,
    by SIGTERM in a fit with 143.

    Args:
        name: The stage's word.
        report: Where its facts go if not to ``data/07_reports/<name>.json``.
    """
    warn_if_stale()
    start = time.perf_counter()
    current = Stage(name)
    try:
        # Every section, not only this stage's: a wrong one must not be found after an hour of training.
        settings = read_settings(Path())
        check_sections(settings)
        refuse_output(Path(), settings["data"]["root"])
        refuse_forgotten_data(Path(), settings)
        with current._stack:
            yield current
    except ScanlensError as error:
        print(f"{name}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print(f"{name}: {STOPPED}", file=sys.stderr)
        raise SystemExit(130) from None
    except SystemExit as end:
        if end.code == TERMINATED:
            print(f"{name}: {STOPPED}", file=sys.stderr)
        raise
    except Exception as error:
        if (line := system_line(error, "training.batch_size or runtime.batch_size")) is None:
            raise
        print(f"{name}: {line}", file=sys.stderr)
        raise SystemExit(1) from None
    if not is_first():
        return
    seconds = time.perf_counter() - start
    target = report or REPORTS / f"{name}.json"
    if name != "evaluation":
        # evaluation writes its own, without a duration: two runs must agree to the byte.
        content = {"stage": name, **current.facts, "seconds": round(seconds, 2)}
        write_json(target, content)
    print(f"{name}: {current.summary} ({seconds:.1f} s)", flush=True)
