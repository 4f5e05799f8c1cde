"""The comparison as a page: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

from pathlib import Path

from scanlens.atomic import write_text
from scanlens.compare.comparison import FEW, Comparison, interval_of, paired_lines
from scanlens.pages.render import render
from scanlens.tracking.compare import lower_is_better

METRICS = {
    "test.auc_macro": "Test AUC",
    "test.accuracy": "Test accuracy",
    "test.f1_macro": "Test F1",
    "test.ece": "Test ECE",
    "val.auc_macro": "Validation AUC",
    "val_loss": "Validation loss",
}


def write_page(found: Comparison, path: Path) -> None:
    """Write the comparison as one HTML file."""
    write_text(path, render_page(found))


def render_page(found: Comparison) -> str:
    """The whole page as text; every word from outside is escaped."""
    metrics = [name for name in METRICS if any(name in run.metrics for run in found.runs)]
    return render(
        "compare/page.html.j2",
        found=found,
        lower=lower_is_better(found.by),
        few=len(found.settings) <= FEW,
        titles=[METRICS[name] for name in metrics],
        rows=[(run, [interval_of(run, name) for name in metrics]) for run in found.runs],
        paired=paired_lines(found),
    )
