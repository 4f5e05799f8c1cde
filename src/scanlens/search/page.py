"""The comparison as a page: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

import base64

from scanlens.evaluation.page_parts import head, rendered
from scanlens.search import charts
from scanlens.search.comparison import Comparison, lower_is_better, paired_lines, with_interval

METRICS = {
    "test.auc_macro": "Test AUC",
    "test.accuracy": "Test accuracy",
    "test.f1_macro": "Test F1",
    "test.ece": "Test ECE",
    "val.auc_macro": "Validation AUC",
    "val_loss": "Validation loss",
}
DRAWN = {"test.auc_macro": "Test AUC", "test.accuracy": "Test accuracy"}
CURVE_TITLES = {"val_loss": "Validation loss", "val_auc": "Validation AUC", "train_loss": "Training loss"}
MOST_CURVES = 12
"""Lines in one picture; beyond that the best ones are drawn."""

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
.figures { grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); }
img { max-width: none; }
"""
PAGE = (
    head("scanlens comparison", _STYLE)
    + """<h1>{% if study %}Sweep {{ study }}{% else %}Runs compared{% endif %}</h1>
<p class="soft">{{ rows|length }} runs{% if by %}, ordered by {{ by }} (the
{{ "smallest" if lower else "largest" }} first){% endif %}. In brackets: intervals over patients, as stage
evaluation measured them.</p>
{{ warning_list(notes) }}
<h2>The runs</h2>
<div class="table"><table>
<thead><tr><th>Run</th>{% for key in columns %}<th>{{ key }}</th>{% endfor %}
{%- for title in titles %}<th class="n">{{ title }}</th>{% endfor %}<th>Status</th></tr></thead>
<tbody>
{%- for row in rows %}
<tr{% if row.best %} class="best"{% endif %}><td class="name">{{ row.label }}</td>
{%- for value in row.settings %}<td>{{ value }}</td>{% endfor %}
{%- for value, interval in row.metrics %}<td class="n">{{ value }}{% if interval %}<br>
<span class="interval">{{ interval }}</span>{% endif %}</td>{% endfor %}<td>{{ row.status }}</td></tr>
{%- endfor %}
</tbody></table></div>

<h2>The two best, on the same test scans</h2>
<div class="test">
{%- for line in paired %}<p>{{ line }}</p>{% endfor %}
</div>
{%- if tested %}
<p class="soft">Differences are of the first minus the second. Intervals and their p-values come from
{{ resamples }} draws of patients, each scored for both runs (paired bootstrap). McNemar's exact test looks at
the scans that only one of the two got right and takes scans for independent.</p>
{%- endif %}

<h2>Pictures</h2>
<div class="figures">
{%- for title, image in pictures.items() %}
<figure><img alt="{{ title }}" src="data:image/png;base64,{{ image }}"></figure>
{%- endfor %}
</div>
{%- if many %}
<h2>Settings that differ</h2>
<div class="table"><table>
<thead><tr><th>Setting</th>{% for row in rows %}<th>{{ row.label }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for key, values in many.items() %}
<tr><td class="name">{{ key }}</td>{% for value in values %}<td>{{ value }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{%- endif %}
</body>
</html>
"""
)
FEW = 5
"""Settings that fit beside the metrics; more get a table of their own."""


def render_page(found: Comparison) -> str:
    """The whole page as text, pictures embedded; every word from outside is escaped."""
    metrics = [name for name in METRICS if any(name in run.metrics for run in found.runs)]
    few = found.changed if len(found.changed) <= FEW else []
    rows = [
        {
            "label": label,
            "best": bool(found.tested and label in found.tested),
            "status": run.status.lower(),
            "settings": [found.setting(run, key) for key in few],
            "metrics": [with_interval(run, name).replace(")", "").partition(" (")[::2] for name in metrics],
        }
        for label, run in zip(found.labels, found.runs, strict=True)
    ]
    many = {} if few else {key: [found.setting(run, key) for run in found.runs] for key in found.changed}
    return rendered(
        PAGE,
        study=found.study,
        by=found.by,
        lower=lower_is_better(found.by),
        notes=found.notes,
        columns=few,
        titles=[METRICS[name] for name in metrics],
        rows=rows,
        paired=paired_lines(found),
        tested=found.test is not None,
        resamples=found.test.resamples if found.test else 0,
        pictures=_pictures(found),
        many=many,
    )


def _pictures(found: Comparison) -> dict[str, str]:
    pictures: dict[str, bytes] = {}
    names = {label: _named(found, label, i) for i, label in enumerate(found.labels)}
    for metric, title in DRAWN.items():
        having = [
            (names[label], run)
            for label, run in zip(found.labels, found.runs, strict=True)
            if metric in run.metrics
        ]
        if having:
            values = [
                (run.metrics[metric], run.metrics.get(f"{metric}.low"), run.metrics.get(f"{metric}.high"))
                for _, run in having
            ]
            pictures[title] = charts.intervals([name for name, _ in having], values, title)
    for metric, series in found.curves.items():
        drawn = {names[label]: points for label, points in list(series.items())[:MOST_CURVES]}
        more = f", best {MOST_CURVES} runs" if len(series) > MOST_CURVES else ""
        pictures[CURVE_TITLES[metric]] = charts.curves(drawn, CURVE_TITLES[metric] + more)
    return {title: base64.b64encode(content).decode() for title, content in pictures.items()}


def _named(found: Comparison, label: str, position: int) -> str:
    """What a picture calls a run: what a sweep chose for it says more than its number."""
    choices = [value for value in found.runs[position].choices.values() if len(value) <= 16]
    return f"{label}: {' '.join(choices)}" if found.study and len(found.changed) <= 3 and choices else label
