"""Which classes are findings: what sensitivity is about, and whose maps are searched for regions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from scanlens.errors import SettingsError

_WITHOUT = {
    "normal", "normals", "healthy", "well", "negative", "neg", "control", "controls", "none", "absent",
    "unaffected", "uninfected", "unremarkable", "clear", "nofinding", "notumor", "notumour", "no", "false",
    "0", "normale", "sain", "sano", "sana", "gesund", "норма", "正常", "健康", "阴性",
}  # fmt: skip
"""Words that names of the class without a finding are made of."""
_MILD = {"benign"}
"""Words that say so where the other classes are worse, but not where one of them is normal."""


@dataclass(frozen=True)
class PositiveClass:
    """Of two classes the one that is the finding.

    Attributes:
        label: Its name.
        other: The other one's.
        reason: Why this one was guessed; None where the settings say so.
        named: Whether the settings or a name say so; a guess by order alone may as well be wrong.
    """

    label: str
    other: str
    reason: str | None
    named: bool = True


def positive_class(labels: Sequence[str], chosen: str | None = None) -> PositiveClass | None:
    """The finding among two classes; None where there are not two.

    Args:
        labels: All classes in order.
        chosen: ``data.positive``.

    Raises:
        SettingsError: As :func:`findings`.
    """
    found = findings(labels, chosen)
    if len(labels) != 2:
        return None
    (other,) = set(labels) - set(found)
    if chosen is not None:
        return PositiveClass(chosen, other, None)
    if _named_without(labels):
        return PositiveClass(found[0], other, f"the other class is called {other}")
    return PositiveClass(found[0], other, "it is the second in order (no name tells)", named=False)


def findings(labels: Sequence[str], positive: str | None = None) -> list[str]:
    """The classes that are findings, in order.

    Of two classes it is ``positive``. Without it, all but the one whose name says that nothing is there, or
    where none or several do all but the first, which by custom is the healthy or lowest one.

    Args:
        labels: All classes in order.
        positive: ``data.positive``.

    Raises:
        SettingsError: ``positive`` is none of two classes.

    Example:
        >>> findings(["ill", "well"])
        ['ill']
    """
    if positive is None:
        healthy = _named_without(labels) or labels[0]
        return [label for label in labels if label != healthy]
    if positive not in labels or len(labels) != 2:
        raise SettingsError(
            f"data.positive is {positive!r}, but the classes are {', '.join(labels)}.",
            "Name one of two classes, or set data.positive=null.",
        )
    return [positive]


def _named_without(labels: Sequence[str]) -> str | None:
    """The only class whose name says that nothing is there; None where no or several names do."""
    for words in (_WITHOUT, _WITHOUT | _MILD):
        named = [label for label in labels if _says_nothing(label, words)]
        if named:
            return named[0] if len(named) == 1 else None
    # Of three, "non-small cell" beside "small cell" is a finding.
    one, two = (label.casefold() for label in labels) if len(labels) == 2 else ("", "")
    for own, other, label in ((one, two, labels[0]), (two, one, labels[-1])):
        if other and re.fullmatch(rf"(no|non|not)[\W_]*{re.escape(other)}", own):
            return label
    return None


def _says_nothing(label: str, words: set[str]) -> bool:
    """Whether a name says that nothing is there, as "normal", "0_healthy" and "no effusion" do."""
    own = re.findall(r"[^\W_]+", label.casefold())
    if len(own) > 1 and own[0] == "no":
        return not set(own[1:]) <= words
    return bool(own) and set(own) <= words
