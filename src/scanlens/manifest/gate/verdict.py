"""Whether what splits share, and what gives the label away, stops the run; and the words for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from scanlens.config.schema import Leakage
from scanlens.errors import ScanlensError
from scanlens.manifest.gate.giveaways import Shortcut
from scanlens.manifest.gate.leakage import Leak, LeakKind

_LIST = "data/07_reports/leaks.csv"
"""Where the pipeline writes :func:`scanlens.manifest.gate.leakage.leaks_table`."""
_SHOWN = 10


class LeakageError(ScanlensError):
    """Scans leak between splits, labels contradict each other, or metadata give the label away."""


def judge(leaks: Sequence[Leak], shortcuts: Sequence[Shortcut], config: Leakage) -> list[str]:
    """Decide whether the run goes on.

    Args:
        leaks: From :func:`scanlens.manifest.gate.leakage.find_leaks`.
        shortcuts: From :func:`scanlens.manifest.gate.giveaways.find_shortcuts`. One that gives away one class
            alone is a warning, whatever the setting.
        config: Section ``manifest.leakage``.

    Returns:
        One sentence for each kind of leak that the settings accept.

    Raises:
        LeakageError: With counts, the first ten pairs, where the list of all is, and what to do.

    Example:
        >>> leaks = [Leak("patient", "a.png", "b.png", "train | test", 3)]
        >>> judge(leaks, [], Leakage("warn", "refuse", "refuse", "refuse", "refuse", 0.95, 0.95))
        ['1 patient is in two splits or more (3 scans).']
    """
    refused: list[str] = []
    warned: list[str] = []
    remedies: list[str] = []
    shown: list[Leak] = []
    for kind, setting in _settings(config).items():
        found = [leak for leak in leaks if leak.kind == kind]
        if not found:
            continue
        if setting == "refuse":
            refused.append(_SENTENCES[kind](found))
            remedies.append(_REMEDIES[kind])
            shown += found
        else:
            after = " They are quarantined." if setting == "quarantine" else ""
            warned.append(_SENTENCES[kind](found) + after)
    for shortcut in shortcuts:
        if config.shortcuts == "refuse" and not shortcut.label:
            refused.append(_shortcut_sentence(shortcut))
        else:
            warned.append(_shortcut_sentence(shortcut))
    if config.shortcuts == "refuse" and any(not shortcut.label for shortcut in shortcuts):
        remedies.append(_SHORTCUT_REMEDY)
    if refused:
        raise LeakageError(_text(refused, shown), "\n".join(["What to do:", *_bullets(remedies)]))
    return warned


def _settings(config: Leakage) -> dict[LeakKind, str]:
    return {
        "patient": config.patients,
        "copy": config.copies,
        "near_copy": config.near_copies,
        "contradiction": config.contradictions,
    }


def _text(refused: list[str], shown: list[Leak]) -> str:
    lines = ["The manifest is refused:", *_bullets(refused)]
    if shown:
        lines.append(f"First {min(_SHOWN, len(shown))} of {len(shown)} (all of them: {_LIST}):")
        lines += [f"  {leak.kind}: {leak.first} and {leak.second} ({leak.detail})" for leak in _mixed(shown)]
    return "\n".join(lines) + "\n"


def _mixed(leaks: list[Leak]) -> list[Leak]:
    """The first few of every kind, so that the most frequent kind does not hide the others."""
    kinds = list(dict.fromkeys(leak.kind for leak in leaks))
    queues = [[leak for leak in leaks if leak.kind == kind] for kind in kinds]
    chosen: list[Leak] = []
    for rank in range(_SHOWN):
        chosen += [queue[rank] for queue in queues if rank < len(queue)]
    return sorted(chosen[:_SHOWN], key=lambda leak: kinds.index(leak.kind))


def _bullets(lines: Sequence[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _patients(leaks: list[Leak]) -> str:
    scans = sum(leak.scans for leak in leaks)
    verb = "is" if len(leaks) == 1 else "are"
    return f"{_count(len(leaks), 'patient')} {verb} in two splits or more ({_count(scans, 'scan')})."


def _copies(leaks: list[Leak]) -> str:
    scans = sum(leak.scans for leak in leaks)
    verb = "spans" if len(leaks) == 1 else "span"
    groups = _count(len(leaks), "group")
    return f"{groups} of scans with the same pixels {verb} two splits or more ({_count(scans, 'scan')})."


def _near_copies(leaks: list[Leak]) -> str:
    scans = len({path for leak in leaks for path in (leak.first, leak.second)})
    verb = "spans" if len(leaks) == 1 else "span"
    pairs = _count(len(leaks), "pair")
    return (
        f"{pairs} of near copies (flipped, cropped, re-encoded or re-exposed) {verb} two splits "
        f"({_count(scans, 'scan')})."
    )


def _contradictions(leaks: list[Leak]) -> str:
    same = [leak for leak in leaks if leak.correlation is None]
    near = [leak for leak in leaks if leak.correlation is not None]
    parts = [_count(len(same), "group") + " of scans with the same pixels"] if same else []
    parts += [_count(len(near), "pair") + " of near copies"] if near else []
    verb = "carries" if len(leaks) == 1 else "carry"
    return f"{' and '.join(parts)} {verb} different labels."


def _shortcut_sentence(shortcut: Shortcut) -> str:
    what = f"class {shortcut.label}" if shortcut.label else "the label"
    return (
        f"{shortcut.column} alone tells {what} with balanced accuracy {shortcut.accuracy:.3f} "
        f"({_count(shortcut.scans, 'scan')}): a model may learn what goes with it in place of the disease."
    )


_SENTENCES: Mapping[LeakKind, Callable[[list[Leak]], str]] = MappingProxyType(
    {
        "patient": _patients,
        "copy": _copies,
        "near_copy": _near_copies,
        "contradiction": _contradictions,
    }
)
_GROUPED = (
    "manifest.split.method=grouped keeps them together (where the data declares a split of its own, also "
    "data.columns.split=null)"
)
_REMEDIES: Mapping[LeakKind, str] = MappingProxyType(
    {
        "patient": f"patient: {_GROUPED}; manifest.leakage.patients=warn accepts them.",
        "copy": (
            f"copy: {_GROUPED}; manifest.leakage.copies=quarantine leaves out the copy that is learned "
            "from; manifest.leakage.copies=warn accepts them."
        ),
        "near_copy": (
            f"near_copy: {_GROUPED}; a higher manifest.leakage.near_correlation asks for closer likeness; "
            "manifest.leakage.near_copies=quarantine leaves out the copy that is learned from; "
            "manifest.leakage.near_copies=warn accepts them."
        ),
        "contradiction": (
            "contradiction: correct the labels; manifest.leakage.contradictions=quarantine leaves these "
            "scans out."
        ),
    }
)
_SHORTCUT_REMEDY = (
    "shortcut: if the column names patients, or scans that belong together, set data.columns.patient to it; "
    "accepted it would leak. Else collect each class from the same sources, devices and settings, or leave "
    "out the scans that only one class has; manifest.leakage.shortcuts=warn accepts what is no such column."
)
