"""Which DICOM slices make one volume: by SeriesInstanceUID, and by their places where that says nothing.

A series is formed over a whole tree: a burnt disk parts one into folders, some programs give each slice a
folder. And a SeriesInstanceUID may be missing, differ from slice to slice, or be the same in all of a data
set. Slices are joined where their places leave no doubt, and only there.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import TypeAlias

import numpy as np

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.series import Slice, Stray
from scanlens.sources.readers.series_geometry import DIRECTION, stack

Found: TypeAlias = Slice | Stray
_ID_DIGITS = 12
_FEWEST = 3
"""Slices that lie evenly by accident: two always do."""
_COPIES = "copies of some slices of a series that lies whole in another folder"
_PLACE_DIGITS = 2  # of a position in mm
_NUMBER = re.compile(r"[0-9A-Fa-f.]*\d[0-9A-Fa-f.]*")  # in a file's name, a UID or a hash too


@dataclass(frozen=True)
class Series:
    """The files of one candidate for a volume.

    Attributes:
        names: Its slices, sorted.
        damaged: Files that hold no slice and should, by the UID they state or a name like its slices' names.
    """

    names: tuple[str, ...]
    damaged: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that its slices lie in, sorted."""
        return tuple(sorted({_parent(name) for name in self.names}))


@dataclass(frozen=True)
class Placed:
    """A series in a tree.

    Attributes:
        folder: The lowest folder that holds all of it.
        number: Twelve hexadecimal digits that name it there.
        series: Its files.
        alone: Whether the folder's name is enough: no other series lies right in it.
        problem: Why it can't be used: it holds copies of some slices of another one.
    """

    folder: str
    number: str
    series: Series
    alone: bool
    problem: str = ""


def group_slices(found: Iterable[Found], key: bytes) -> dict[str, Series]:
    """Group what one folder (or archive) holds by series; a group of several slices is a candidate volume.

    Slices of one SeriesInstanceUID that differ in shape or orientation are groups of their own: their id is
    made of the UID and of what differs. Localizers (scouts) stay with the series' first group, and
    :func:`scanlens.sources.readers.series.read_series` drops them. Slices without a UID join the one series
    that they make even, or else, as those whose UID no other slice has, those with which they lie evenly.

    Args:
        found: What each file holds; several frames (a volume of their own) are left out.
        key: The site's pseudonym key.

    Returns:
        Series by id, in sorted order.
    """
    found = list(found)
    strays = [one for one in found if isinstance(one, Stray)]
    groups = _groups([one for one in found if isinstance(one, Slice)])
    return dict(sorted((_digits(name, key), _series(members, strays)) for name, members in groups.items()))


def place_series(found: Mapping[str, Sequence[Found]], key: bytes) -> list[Placed]:
    """Form series of several slices over a whole tree.

    Parts in several folders under one UID of one patient and study are one series, unless each holds the same
    places (copies, or phases: each a whole), or the UID proves to be no name of a series, as instance numbers
    begin anew in each folder whose slices make no even stack with the others'.

    Args:
        found: What each folder holds right in it, by the folder's name.
        key: The site's pseudonym key.

    Returns:
        Each series once.
    """
    slices = {folder: [one for one in files if isinstance(one, Slice)] for folder, files in found.items()}
    strays = [one for files in found.values() for one in files if isinstance(one, Stray)]
    joined, copies = _joined(slices)
    taken = {one.name for members in joined.values() for one in members}
    placed = []
    for name, members in joined.items():
        series = _series(members, strays)
        placed.append(Placed(_common(series.folders), _digits(name, key), series, alone=False))
    for folder, files in found.items():
        groups = [(number, one) for number, one in group_slices(files, key).items() if len(one.names) > 1]
        placed += [
            Placed(folder, number, one, len(groups) == 1, _COPIES if copies.issuperset(one.names) else "")
            for number, one in groups
            if taken.isdisjoint(one.names)
        ]
    return placed


def _groups(slices: Iterable[Slice]) -> dict[str, list[Slice]]:
    """Group the single-frame slices of one place, by the text that their id is made of."""
    by_uid = defaultdict[str, list[Slice]](list)
    for one in slices:
        if one.frames == 1:
            by_uid[one.series].append(one)
    nameless = [one for one in by_uid.pop("", []) if not one.localizer]
    groups: dict[str, list[Slice]] = {}
    for uid, members in by_uid.items():
        kinds = _kinds([one for one in members if not one.localizer]) or [[]]
        kinds[0].extend(one for one in members if one.localizer)
        for kind in kinds:
            groups[uid if len(kinds) == 1 else _described(uid, kind[0])] = kind
    for alike in _alike(nameless, _closely):
        whole = [
            name for name, kind in groups.items() if len(kind) > 1 and _is_even([*_images(kind), *alike])
        ]
        if len(whole) == 1:
            groups[whole[0]] += alike
            nameless = _without(nameless, alike)
    single = {kind[0].name: name for name, kind in groups.items() if len(kind) == 1}
    for kind in _by_place([*nameless, *(groups[name][0] for name in single.values())]):
        for one in kind:
            groups.pop(single.get(one.name, ""), None)
        groups[_described("", kind[0])] = kind
    return groups


def _joined(slices: Mapping[str, Sequence[Slice]]) -> tuple[dict[str, list[Slice]], set[str]]:
    """Return the series that lie in several folders, by the text of their ids, and the names of copies."""
    series = defaultdict[Hashable, list[Slice]](list)
    for one in chain.from_iterable(slices.values()):
        if one.series and one.frames == 1:
            series[one.series, one.patient, one.study].append(one)
    joined = {}
    copies = set[str]()
    for members in series.values():
        if len({_parent(one.name) for one in members}) == 1:
            continue
        scouts = [one for one in members if one.localizer]
        for kind in _kinds([one for one in members if not one.localizer]):
            partial = _partial_copies(kind)
            copies |= {one.name for one in partial}
            if _is_parted(_without(kind, partial)):
                name = f"{kind[0].patient} {kind[0].study} {_described(kind[0].series, kind[0])} parted"
                joined[name] = [*_without(kind, partial), *scouts]
                scouts = []
    taken = {one.name for members in joined.values() for one in members}
    alone = defaultdict[str, list[Slice]](list)
    for folder, held in slices.items():
        if len(held) == 1 and held[0].name not in taken | copies and held[0].frames == 1:
            alone[_parent(folder)] += held
    for members in alone.values():
        for kind in _by_place([one for one in members if not one.localizer]):
            joined[f"{_described('', kind[0])} parted"] = kind
    return joined, copies


def _partial_copies(slices: Sequence[Slice]) -> list[Slice]:
    """Return the slices of folders that hold copies from a series that lies whole in another folder."""
    parts = _by_folder(slices)
    whole = max(parts, key=lambda part: len(_places(part)), default=[])
    grown = len(_places(slices)) > len(_places(whole)) and _is_even(_once(slices))
    if grown or not _is_even(_once(whole)):
        return []
    held = {one.instance for one in whole} - {""}
    return [
        one
        for part in parts
        if _places(part) != _places(whole)
        and 2 * len(held & (instances := {one.instance for one in part})) >= len(instances)
        for one in part
    ]


def _is_parted(slices: Sequence[Slice]) -> bool:
    """Tell whether slices of one UID in several folders are the parts of one series."""
    parts = _by_folder(slices)
    places = [_places(part) for part in parts]
    if len(parts) < 2 or any(one.plane is None for one in slices) or places.count(places[0]) == len(places):
        return False
    if _is_even(_once(slices), fewest=2):
        return True
    numbers = [{one.number for one in part} for part in parts]
    every = set().union(*numbers)
    counted = None not in every and all(
        len(found) == len(place) for found, place in zip(numbers, places, strict=True)
    )
    return not (counted and sum(map(len, numbers)) > len(every))


def _by_folder(slices: Iterable[Slice]) -> list[list[Slice]]:
    parts = defaultdict[str, list[Slice]](list)
    for one in slices:
        parts[_parent(one.name)].append(one)
    return list(parts.values())


def _once(slices: Iterable[Slice]) -> list[Slice]:
    """Drop copies: slices of one SOPInstanceUID at one place."""
    return list({(_place(one), one.instance or one.name): one for one in slices}.values())


def _places(slices: Iterable[Slice]) -> set[tuple[float, ...]]:
    return {_place(one) for one in slices}


def _by_place(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Join single slices that make an even stack: of one study and series number, else of one patient."""
    kinds = []
    for key in (_closely, _widely):
        for alike in _alike(slices, key):
            if _is_even(alike):
                kinds.append(sorted(alike, key=_place))
                slices = _without(slices, alike)
    return kinds


def _closely(one: Slice) -> Hashable:
    return one.patient, one.modality, one.study, one.series_number


def _widely(one: Slice) -> Hashable:
    return one.patient, one.modality


def _alike(slices: Iterable[Slice], key: Callable[[Slice], Hashable]) -> list[list[Slice]]:
    groups = defaultdict[Hashable, list[Slice]](list)
    for one in slices:
        if one.plane is not None:
            groups[key(one)].append(one)
    return [kind for members in groups.values() for kind in _kinds(members)]


def _kinds(slices: list[Slice]) -> list[list[Slice]]:
    """Part slices that differ in shape or direction, whatever their order and their files' names."""
    kinds: list[list[Slice]] = []
    for one in sorted(slices, key=lambda one: (one.shape, one.cosines)):
        for kind in kinds:
            first = kind[0]
            if (one.shape, len(one.cosines)) == (first.shape, len(first.cosines)) and np.allclose(
                one.cosines, first.cosines, rtol=0, atol=DIRECTION
            ):
                kind.append(one)
                break
        else:
            kinds.append([one])
    return kinds


def _is_even(slices: Sequence[Slice], fewest: int = _FEWEST) -> bool:
    """Tell whether slices of one patient make a volume: evenly spaced, each place once."""
    planes = [one.plane for one in slices if one.plane is not None]
    if len(planes) < max(len(slices), fewest) or len({one.patient for one in slices}) > 1:
        return False
    try:
        return len(stack(planes, "").order) == len(planes)
    except UnreadableScan:
        return False


def _images(slices: Iterable[Slice]) -> list[Slice]:
    return [one for one in slices if not one.localizer]


def _without(slices: Iterable[Slice], taken: Iterable[Slice]) -> list[Slice]:
    names = {one.name for one in taken}
    return [one for one in slices if one.name not in names]


def _place(one: Slice) -> tuple[float, ...]:
    return () if one.plane is None else tuple((np.round(one.plane.position, _PLACE_DIGITS) + 0.0).tolist())


def _described(uid: str, one: Slice) -> str:
    """Name a kind within a series; without a UID, by its patient and its first place too."""
    kind = f"{uid} {one.shape} {np.round(one.cosines, 2) + 0.0}"
    return kind if uid else f"{one.patient} {one.study} {one.series_number}{kind} {_place(one)}"


def _series(slices: Iterable[Slice], strays: Iterable[Stray]) -> Series:
    members = list(slices)
    names = tuple(sorted(one.name for one in members))
    common = _common({_parent(name) for name in names})
    below = "" if common == "." else f"{common}/"
    alike = {_pattern(name, below) for name in names}
    uids = {one.series for one in members} - {""}
    damaged = [
        one.name
        for one in strays
        if (
            one.series in uids
            if one.series
            else one.name.startswith(below) and _pattern(one.name, below) in alike
        )
    ]
    return Series(names, tuple(sorted(damaged)))


def _pattern(name: str, below: str) -> str:
    """What a file's name below a folder shares with its neighbours'."""
    return _NUMBER.sub("#", name[len(below) :])


def _parent(name: str) -> str:
    return PurePosixPath(name).parent.as_posix()


def _common(folders: Iterable[str]) -> str:
    paths = [PurePosixPath(folder) for folder in folders]
    first = paths[0]
    return next(
        one for one in (first, *first.parents) if all(path.is_relative_to(one) for path in paths)
    ).as_posix()


def _digits(identifier: str, key: bytes) -> str:
    return hmac.new(key, identifier.encode("utf-8", "backslashreplace"), hashlib.sha256).hexdigest()[
        :_ID_DIGITS
    ]
