"""What the pages people read have in common: style, numbers with their intervals, warnings, pictures.

A page is one HTML file that needs nothing else, not even a network.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from scanlens.tasks import Task
from scanlens.types import Facts

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%(title)s</title>
<style>
:root { --ink: #1f2933; --soft: #616e7c; --line: #e1e6eb; --card: #f6f8fa; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 66rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 .25rem; font-size: 1.7rem; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.2rem; }
p { margin: .4rem 0; max-width: 46rem; }
.soft { color: var(--soft); font-size: .9rem; }
.warnings { padding: .75rem 1rem .75rem 2.2rem; margin: 1rem 0; background: #fff6e5;
  border-left: 4px solid #e69f00; border-radius: .25rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .75rem .4rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: .85rem; }
td.n, th.n { text-align: right; }
td.n { white-space: nowrap; }
.interval { color: var(--soft); }
td .soft { display: block; font-size: .8rem; white-space: normal; }
.figures { display: grid; gap: 1.5rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%%), 1fr)); }
figure { margin: 0; }
img { width: 100%%; max-width: 36rem; height: auto; }
figcaption { color: var(--soft); font-size: .9rem; }
%(style)s@media print { body { max-width: none; padding: 0; } figure, .card, tr { break-inside: avoid; } }
</style>
</head>
<body>
"""


@dataclass(frozen=True)
class Page:
    """How a report is laid out.

    Attributes:
        template: Jinja, from ``<h1>`` to the end; it may use :data:`MACROS`.
        captions: Of the pictures, by file name without suffix.
        digits: Format of its numbers, for ``%``.
        style: CSS lines of this page alone.
        words: Further values for the template, from the facts.
    """

    template: str
    captions: Mapping[str, str]
    digits: str
    style: str = ""
    words: Callable[[Facts], dict[str, object]] = dict


MACROS = """
{%- macro warning_list(sentences) -%}
{%- if sentences %}
<ul class="warnings">
{%- for sentence in sentences %}
<li>{{ sentence }}</li>
{%- endfor %}
</ul>
{%- endif %}
{%- endmacro -%}

{%- macro plain(value) -%}
<td class="n">{% if value is none %}&ndash;{% else %}{{ digits|format(value) }}{% endif %}</td>
{%- endmacro -%}

{%- macro cell(entry) -%}
<td class="n">{% if entry.value is none %}&ndash;<span class="soft">{{ entry.reason }}</span>{% else -%}
{{ digits|format(entry.value) }}
{%- if entry.low is not none %} <span class="interval">({{ digits|format(entry.low) }}&ndash;{{
digits|format(entry.high) }})</span>{% endif %}
{%- if entry.note is defined %}<span class="soft">{{ entry.note }}</span>{% endif %}{% endif %}</td>
{%- endmacro -%}

{%- macro metrics_table(titles, test, baseline, val) -%}
<h2>Metrics</h2>
<div class="table"><table>
<thead><tr><th>Metric</th><th class="n">Test</th><th class="n">Without looking</th>
<th class="n">Validation</th></tr></thead>
<tbody>
{%- for name, (title, meaning) in titles.items() %}
<tr><td>{{ title }}<span class="soft">{{ meaning }}</span></td>{{ cell(test[name]) }}
{{ plain(baseline.get(name)) }}{{ cell(val[name]) }}</tr>
{%- endfor %}
</tbody></table></div>
{%- endmacro -%}

{%- macro picture_grid(images, captions) -%}
<h2>Pictures of the test split</h2>
<div class="figures">
{%- for name, image in images.items() %}
<figure><img alt="{{ name }}: {{ captions[name] }}" src="data:image/png;base64,{{ image }}">
<figcaption>{{ captions[name] }}</figcaption></figure>
{%- endfor %}
</div>
{%- endmacro -%}

{%- macro settings_table(settings) -%}
<div class="table"><table><tbody>
{%- for name, value in settings.items() %}
<tr><td>evaluation.{{ name }}</td><td>{{ value }}</td></tr>
{%- endfor %}
</tbody></table></div>
{%- endmacro -%}
"""
"""Jinja macros; those that show numbers take their format from the page's variable ``digits``."""


def head(title: str, style: str = "") -> str:
    """A page up to the beginning of its body.

    Args:
        title: Of the window.
        style: CSS lines of this page alone.
    """
    return _HEAD % {"title": title, "style": style}


def embedded(folder: Path, names: Mapping[str, str]) -> dict[str, str]:
    """The PNG files of these names, as far as they were drawn, in Base64."""
    paths = {name: folder / f"{name}.png" for name in names}
    return {
        name: base64.b64encode(path.read_bytes()).decode() for name, path in paths.items() if path.is_file()
    }


def render_report(page: Page, task: Task, facts: Facts, figures: Path) -> str:
    """A report as text, pictures embedded; every word from outside is escaped.

    Args:
        page: Its layout.
        task: Whose metrics are shown.
        facts: Of ``evaluation.json``.
        figures: Folder with the PNG files that the captions name, as far as they were drawn.
    """
    return rendered(
        head("scanlens evaluation", page.style) + page.template,
        f=facts,
        titles={name: (metric.title, metric.meaning) for name, metric in task.metrics.items()},
        captions=page.captions,
        images=embedded(figures, page.captions),
        digits=page.digits,
        percent=f"{100 * facts['settings']['confidence']:g}",
        **page.words(facts),
    )


def rendered(template: str, **values: object) -> str:
    """The page as text; every word from outside is escaped, and a missing value is an error."""
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(MACROS + template)
    return page.render(**values)
