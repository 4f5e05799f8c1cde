"""The folder a command writes into: one run at a time, all of it or nothing, only files of its own."""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scanlens.errors import SettingsError
from scanlens.sources.listing.written import (
    FACTS,
    FAILURES,
    MAPS,
    PREDICTIONS,
    holds_maps,
    is_map,
    is_record,
    is_view,
)

_WORK = ".scanlens-output"
_ELSEWHERE = "Move it away, or name another folder with --output."


@contextmanager
def output_folder(output: Path, records: Sequence[str], *, maps: bool = False) -> Iterator[Path]:
    """Yield a folder to write into, whose files take their places in ``output`` when the block ends well.

    Until then what an earlier run left stays as it was, also where this one is killed. Then the files come
    first and ``records``, which name them, last: they never name what is not there. Maps that the earlier
    table named and the new one does not go. Nobody else's file is replaced or removed.

    Args:
        output: The folder; made where it does not exist.
        records: Files right in it whose names others may use too, in the order of their appearance.
        maps: Whether :data:`~scanlens.sources.listing.written.MAPS` will be filled.

    Raises:
        SettingsError: A file or folder of somebody else stands in the place of ours, another run is writing
            here, or the system does not let us write.
    """
    work = output / _WORK
    with contextlib.ExitStack() as stack:
        with _one_line(output):
            output.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_alone(output))
            _refuse_others(output, records, maps)
            stack.callback(_clear, work)
            _clear(work)
            (work / MAPS if maps else work).mkdir(parents=True, exist_ok=True)
            before = _maps_named(output)
        yield work
        with _one_line(output):
            _move(work, output, records)
            for name in before - _maps_named(output):
                (output / MAPS / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # of others, or none
                (output / MAPS).rmdir()


@contextmanager
def _one_line(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{output}: can't be written ({error.strerror}).", "Check --output.") from error


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Lock the folder itself: no file is left behind, and the lock ends with its process."""
    handle = os.open(output, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(
                f"{output}: another scanlens is writing here.",
                "Wait until it has ended, or name another folder with --output.",
            ) from error
        except OSError:
            pass  # some network file systems lock no folders
        yield
    finally:
        os.close(handle)


def _refuse_others(output: Path, records: Sequence[str], maps: bool) -> None:
    for name in records:
        path = output / name
        if os.path.lexists(path) and not (is_record(path) or _named_by_facts(path)):
            raise SettingsError(f"{path}: exists, and no scanlens wrote it.", _ELSEWHERE)
    folder = output / MAPS
    if not maps or not os.path.lexists(folder):
        return
    others = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    if others and not holds_maps(folder) and not is_record(output / PREDICTIONS):
        raise SettingsError(f"{folder}: holds {min(others)}, which no scanlens wrote.", _ELSEWHERE)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _named_by_facts(path: Path) -> bool:
    facts = path.parent / FACTS
    return is_record(facts) and f'"{path.name}"' in facts.read_text(encoding="utf-8", errors="replace")


def _maps_named(output: Path) -> set[str]:
    """Names of the maps, and of their arrays, that the table in a folder names."""
    table = output / PREDICTIONS
    if not is_record(table):
        return set()
    with table.open(newline="", encoding="utf-8", errors="replace") as file:
        named = {(row["map"] or "").removeprefix(f"{MAPS}/") for row in csv.DictReader(file)}
    pictures = {name for name in named if is_map(name)}
    return pictures | {Path(name).with_suffix(".npy").name for name in pictures}


def _move(work: Path, output: Path, records: Sequence[str]) -> None:
    files = sorted(path.relative_to(work) for path in work.rglob("*") if _is_ours(path.name))
    turns = {name: turn for turn, name in enumerate(records, start=1)}
    for file in sorted(files, key=lambda file: turns.get(file.name, 0)):
        (output / file).parent.mkdir(exist_ok=True)
        (work / file).replace(output / file)


def _is_ours(name: str) -> bool:
    """Whether a file of the working folder has a name that we give; also a half-written one."""
    whole = name.removeprefix(".").removesuffix(".part")
    return is_map(whole) or is_view(whole) or whole in (PREDICTIONS, FAILURES, FACTS)


def _clear(work: Path) -> None:
    """Remove what a run has left in its working folder, and the folder where that is all."""
    for folder, _, names in os.walk(work, topdown=False):
        for path in (Path(folder, name) for name in names if _is_ours(name)):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
