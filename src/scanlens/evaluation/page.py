"""The report a person reads: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

TITLES = {
    "auc_macro": ("AUC", "one class against the rest, mean over classes; 0.5 is chance"),
    "accuracy": ("Accuracy", "share of scans predicted right"),
    "balanced_accuracy": (
        "Balanced accuracy",
        "mean sensitivity under its usual name; ignores class sizes",
    ),
    "f1_macro": ("F1", "mean over classes"),
    "sensitivity_macro": ("Sensitivity", "share of a class found, mean over classes"),
    "specificity_macro": ("Specificity", "share of the others left alone, mean over classes"),
    "nll": ("Negative log-likelihood", "of the true class, in nats; lower is better"),
    "brier": ("Brier score", "squared error of the probabilities; lower is better"),
    "ece": ("Calibration error (ECE)", "mean gap of confidence and accuracy; lower is better"),
    "mae_classes": ("Mean error in classes", "how many classes off on average; lower is better"),
    "within_one": ("Within one class", "share of scans predicted right or one class off"),
    "kappa_quadratic": (
        "Quadratic weighted kappa",
        "agreement beyond chance, classes far off count more; 0 is chance",
    ),
}
CAPTIONS = {
    "roc": "Sensitivity against false alarms at every threshold.",
    "confusion": "What each class was taken for; percent of the actual class.",
    "reliability": "Dots on the diagonal: right as often as confident. Larger dots stand for more scans.",
}

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>scanlens evaluation</title>
<style>
:root { --ink: #1f2933; --soft: #616e7c; --line: #e1e6eb; --card: #f6f8fa; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 66rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 .25rem; font-size: 1.7rem; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.2rem; }
p { margin: .4rem 0; max-width: 46rem; }
.soft { color: var(--soft); font-size: .9rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0; }
.card { padding: .9rem 1rem; background: var(--card); border-radius: .5rem; }
.card b { display: block; font-size: 1.9rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.warnings { padding: .75rem 1rem .75rem 2.2rem; margin: 1rem 0; background: #fff6e5;
  border-left: 4px solid #e69f00; border-radius: .25rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .75rem .4rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: .85rem; }
td.n, th.n { text-align: right; white-space: nowrap; }
.interval { color: var(--soft); }
td .soft { display: block; font-size: .8rem; white-space: normal; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.5rem;
  align-items: start; }
figure { margin: 0; }
img { width: 100%; max-width: 36rem; height: auto; }
figcaption { color: var(--soft); font-size: .9rem; }
@media print { body { max-width: none; padding: 0; } figure, .card, tr { break-inside: avoid; } }
</style>
</head>
"""
"""Also of the page about numbers."""

PAGE = (
    HEAD
    + """<body>
{%- macro cell(entry) -%}
<td class="n">{% if entry.value is none %}&ndash;<span class="soft">{{ entry.reason }}</span>{% else -%}
{{ "%.3f"|format(entry.value) }}
{%- if entry.low is not none %} <span class="interval">({{ "%.3f"|format(entry.low) }}&ndash;{{
"%.3f"|format(entry.high) }})</span>{% endif %}
{%- if entry.note is defined %}<span class="soft">{{ entry.note }}</span>{% endif %}{% endif %}</td>
{%- endmacro %}
{%- macro plain(value) -%}
<td class="n">{% if value is none %}&ndash;{% else %}{{ "%.3f"|format(value) }}{% endif %}</td>
{%- endmacro %}
<h1>Evaluation</h1>
<p class="soft">{{ f.counts.test.scans }} test scans of {{ f.counts.test.patients }} patients, used for
neither training nor calibration. In brackets: {{ percent }} % intervals from
{{ f.bootstrap.test.resamples }} resamples of patients.</p>
<div class="cards">
{%- for title, entry in cards.items() %}
<div class="card">{{ title }}
<b>{% if entry.value is none %}&ndash;{% else %}{{ "%.3f"|format(entry.value) }}{% endif %}</b>
<span class="soft">{% if entry.value is none %}{{ entry.reason }}{% elif entry.low is none %}no interval
{%- else %}{{ "%.3f"|format(entry.low) }} to {{ "%.3f"|format(entry.high) }}{% endif %}</span></div>
{%- endfor %}
</div>
{%- if f.warnings %}
<ul class="warnings">
{%- for warning in f.warnings %}
<li>{{ warning }}</li>
{%- endfor %}
</ul>
{%- endif %}

<h2>Metrics</h2>
<div class="table"><table>
<thead><tr><th>Metric</th><th class="n">Test</th><th class="n">Without looking</th>
<th class="n">Validation</th></tr></thead>
<tbody>
{%- for name, (title, meaning) in titles.items() %}
<tr><td>{{ title }}<span class="soft">{{ meaning }}</span></td>{{ cell(f.test[name]) }}
{{ plain(f.baseline.get(name)) }}{{ cell(f.val[name]) }}</tr>
{%- endfor %}
</tbody></table></div>
<p class="soft">Without looking: what always answering the most frequent test class
{%- if f.baseline["class"] is not none %} ({{ f.baseline["class"] }}){% endif %} reaches; its log-likelihood
is that of stating the class shares. Validation numbers are flattering: that split chose the weights and the
temperature.</p>
{%- if f.members is defined %}
<p>The classifier is the mean of {{ f.members.count }} networks. Validation is out of fold here: each scan
outside the test split is judged by the one network that never learnt from it. Over the networks, each on its
own fold:
{%- for name in ("auc_macro", "accuracy") %}{% set part = f.members.spread[name] %}
{{ titles[name][0] }} {% if part.mean is none %}undefined{% else %}{{ "%.3f"|format(part.mean) }} ({{
"%.3f"|format(part.low) }} to {{ "%.3f"|format(part.high) }}){% endif %}{{ "," if not loop.last else "." }}
{%- endfor %} Test scans are judged by all of them together.</p>
{%- endif %}

<h2>Pictures of the test split</h2>
<div class="figures">
{%- for name, caption in captions.items() %}
<figure><img alt="{{ name }}: {{ caption }}" src="data:image/png;base64,{{ images[name] }}">
<figcaption>{{ caption }}</figcaption></figure>
{%- endfor %}
</div>

<h2>Each class of the test split</h2>
<div class="table"><table>
<thead><tr><th>Class</th><th class="n">Scans</th><th class="n">Patients</th><th class="n">AUC</th>
<th class="n">Sensitivity</th><th class="n">Specificity</th><th class="n">F1</th></tr></thead>
<tbody>
{%- for label, row in f.per_class.test.items() %}
<tr><td>{{ label }}</td><td class="n">{{ row.scans }}</td><td class="n">{{ row.patients }}</td>
{{ cell(row.auc) }}{{ cell(row.sensitivity) }}{{ cell(row.specificity) }}{{ cell(row.f1) }}</tr>
{%- endfor %}
</tbody></table></div>

<h2>Calibration</h2>
<p>{% if f.calibration.method == "temperature" %}Logits are divided by the temperature
{{ "%.4f"|format(f.calibration.temperature) }}, fitted on {{ f.calibration.fitted_on.scans }} validation scans
({% if f.calibration.temperature > 1 %}the network was too sure of itself
{%- elif f.calibration.temperature < 1 %}the network was too modest{% else %}unchanged{% endif %}).
{%- else %}Probabilities are the network's own softmax: no calibration was applied.{% endif %}</p>
<div class="table"><table>
<thead><tr><th>Split</th><th class="n">NLL before</th><th class="n">NLL after</th>
<th class="n">ECE before</th><th class="n">ECE after</th></tr></thead>
<tbody>
{%- for name in ("test", "val") %}{% set part = f.calibration[name] %}
<tr><td>{{ name }}</td>{{ plain(part.before.nll) }}{{ plain(part.after.nll) }}{{ plain(part.before.ece) }}{{
plain(part.after.ece) }}</tr>
{%- endfor %}
</tbody></table></div>

<h2>Scans</h2>
<div class="table"><table>
<thead><tr><th>Split</th><th class="n">Scans</th><th class="n">Patients</th><th class="n">Sites</th>
{%- for label in f.labels %}<th class="n">{{ label }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for name, row in f.counts.items() %}
<tr><td>{{ name }}</td><td class="n">{{ row.scans }}</td><td class="n">{{ row.patients }}</td><td class="n">{{
row.sites or "unknown" }}</td>
{%- for label in f.labels %}<td class="n">{{ row.labels[label] }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>

<h2>Settings and methods</h2>
<div class="table"><table><tbody>
{%- for name, value in f.settings.items() %}
<tr><td>evaluation.{{ name }}</td><td>{{ value }}</td></tr>
{%- endfor %}
</tbody></table></div>
<p class="soft">Intervals: percentiles of a bootstrap that draws patients, not scans, since scans of one
patient resemble each other (Efron and Tibshirani 1993; Rutter 2000). Draws without one of the split's classes
are repeated ({{ f.bootstrap.test.redrawn }} for test). The interval of ECE is corrected for the bootstrap's
bias. Temperature scaling and ECE (15 bins): Guo et al. 2017. All probabilities are calibrated ones.</p>
</body>
</html>
"""
)


def render_page(facts: dict[str, Any], figures: Path) -> str:
    """The whole page as text, pictures embedded; every word from outside is escaped.

    Args:
        facts: As :func:`scanlens.evaluation.report.build_facts` gives them.
        figures: Folder with the PNG files named in :data:`CAPTIONS`.
    """
    images = {name: base64.b64encode((figures / f"{name}.png").read_bytes()).decode() for name in CAPTIONS}
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(PAGE)
    return template.render(
        f=facts,
        titles={name: words for name, words in TITLES.items() if name in facts["test"]},
        captions=CAPTIONS,
        cards=_headlines(facts),
        images=images,
        percent=f"{100 * facts['settings']['confidence']:g}",
    )


def _headlines(facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The four test numbers on top by title; of two classes, the positive one's."""
    test, labels = facts["test"], facts["labels"]
    cards = {"AUC": test["auc_macro"], "Accuracy": test["accuracy"]}
    if len(labels) == 2:
        positive = facts["per_class"]["test"][labels[1]]
        return cards | {
            f"Sensitivity for {labels[1]}": positive["sensitivity"],
            f"Specificity for {labels[1]}": positive["specificity"],
        }
    return cards | {"Sensitivity": test["sensitivity_macro"], "Specificity": test["specificity_macro"]}
