"""The comparison as a page: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

from pathlib import Path

from scanlens.atomic import write_text
from scanlens.compare.comparison import FEW, Comparison, interval_of, paired_lines
from scanlens.evaluation.page_parts import head, rendered
from scanlens.tracking.compare import lower_is_better

METRICS = {
    "test.auc_macro": "Test AUC",
    "test.accuracy": "Test accuracy",
    "test.f1_macro": "Test F1",
    "test.ece": "Test ECE",
    "val.auc_macro": "Validation AUC",
    "val_loss": "Validation loss",
}

_STYLE = """body { max-width: 80rem; }
p { max-width: 50rem; }
.warnings, .test { max-width: 60rem; }
.test { padding: .9rem 1rem; background: var(--card); border-radius: .5rem; }
table { font-size: .92rem; }
th, td { padding: .35rem .9rem .35rem 0; }
th { font-size: .8rem; vertical-align: bottom; }
td.name { white-space: nowrap; }
tr.best td { background: #eef6fb; }
.interval { font-size: .85rem; }
svg { display: block; margin-left: auto; width: 7rem; height: .7rem; stroke: var(--accent); }
svg .axis { stroke: var(--line); }
"""
_PAGE = (
    head("scanlens comparison", _STYLE)
    + """<h1>{% if found.study %}Sweep {{ found.study }}{% else %}Runs compared{% endif %}</h1>
<p class="soft">{{ rows|length }} runs{% if found.by %}, ordered by {{ found.by }} (the
{{ "smallest" if lower else "largest" }} first){% endif %}. In brackets: intervals over patients, as stage
evaluation measured them; the line under a value goes from 0 to 1.</p>
{{ warning_list(found.notes) }}
<h2>The runs</h2>
<div class="table"><table>
<thead><tr><th>Run</th>{% if few %}{% for key in found.settings %}<th>{{ key }}</th>{% endfor %}{% endif %}
{%- for title in titles %}<th class="n">{{ title }}</th>{% endfor %}<th>Status</th></tr></thead>
<tbody>
{%- for run, metrics in rows %}{% set index = loop.index0 %}
<tr{% if run.name in found.tested %} class="best"{% endif %}><td class="name">{{ run.name }}</td>
{%- if few %}{% for values in found.settings.values() %}<td>{{ values[index] }}</td>{% endfor %}{% endif %}
{%- for value, low, high in metrics %}<td class="n">
{%- if value is none %}-{% else %}{{ "%.4f"|format(value) }}
{%- if low is not none %} <span class="interval">({{ "%.3f"|format(low) }}-{{ "%.3f"|format(high) }})</span>
<svg viewBox="0 0 100 10" preserveAspectRatio="none"><path class="axis" d="M0 5H100"/>
<path stroke-width="3" d="M{{ 100 * low }} 5H{{ 100 * high }}M{{ 100 * value }} 0V10"/></svg>
{%- endif %}{% endif %}</td>{% endfor %}<td>{{ run.status|lower }}</td></tr>
{%- endfor %}
</tbody></table></div>

<h2>The two best, on the same test scans</h2>
<div class="test">
{%- for line in paired %}<p>{{ line }}</p>{% endfor %}
</div>
{%- if found.test %}
<p class="soft">Differences are of the first minus the second. Intervals and their p-values come from
{{ found.test.resamples }} draws of patients, each scored for both runs (paired bootstrap). McNemar's exact
test looks at the scans that only one of the two got right and takes scans for independent.</p>
{%- endif %}
{%- if not few %}
<h2>Settings that differ</h2>
<div class="table"><table>
<thead><tr><th>Setting</th>{% for run, _ in rows %}<th>{{ run.name }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for key, values in found.settings.items() %}
<tr><td class="name">{{ key }}</td>{% for value in values %}<td>{{ value }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{%- endif %}
</body>
</html>
"""
)


def write_page(found: Comparison, path: Path) -> None:
    """Write the comparison as one HTML file."""
    write_text(path, render_page(found))


def render_page(found: Comparison) -> str:
    """The whole page as text; every word from outside is escaped."""
    metrics = [name for name in METRICS if any(name in run.metrics for run in found.runs)]
    return rendered(
        _PAGE,
        found=found,
        lower=lower_is_better(found.by),
        few=len(found.settings) <= FEW,
        titles=[METRICS[name] for name in metrics],
        rows=[(run, [interval_of(run, name) for name in metrics]) for run in found.runs],
        paired=paired_lines(found),
    )
