"""How a report of the evaluation is laid out, by the kind of task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scanlens.pages.render import embedded, render
from scanlens.tasks import Task
from scanlens.types import Facts


@dataclass(frozen=True)
class Page:
    """How a report is laid out.

    Attributes:
        template: Path of a ``.j2`` file, see :func:`scanlens.pages.render.render`.
        captions: Of the pictures, by file name without suffix.
        digits: Format of its numbers, for ``%``.
        words: Further values for the template, from the facts.
    """

    template: str
    captions: Mapping[str, str]
    digits: str
    words: Callable[[Facts], dict[str, object]] = dict


def render_report(page: Page, task: Task, facts: Facts, figures: Path) -> str:
    """A report as text, pictures embedded; every word from outside is escaped.

    Args:
        page: Its layout.
        task: Whose metrics are shown.
        facts: Of ``evaluation.json``.
        figures: Folder with the PNG files that the captions name, as far as they were drawn.
    """
    return render(
        page.template,
        None,
        f=facts,
        titles={name: (metric.title, metric.meaning) for name, metric in task.metrics.items()},
        captions=page.captions,
        images=embedded(figures, page.captions),
        digits=page.digits,
        percent=f"{100 * facts['settings']['confidence']:g}",
        **page.words(facts),
    )
