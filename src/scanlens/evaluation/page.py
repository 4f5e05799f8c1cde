"""How the report of classes is laid out."""

from __future__ import annotations

from scanlens.evaluation.page_parts import Page
from scanlens.types import Facts

_CAPTIONS = {
    "roc": "Sensitivity against false alarms at every threshold.",
    "confusion": "What each class was taken for; percent of the actual class.",
    "reliability": "Dots on the diagonal: right as often as confident. Larger dots stand for more scans.",
}

_CARDS = """.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0; }
.card { padding: .9rem 1rem; background: var(--card); border-radius: .5rem; }
.card b { display: block; font-size: 1.9rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
"""

_TEMPLATE = """<h1>Evaluation</h1>
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
{{ warning_list(f.warnings) }}

{{ metrics_table(titles, f.test, f.baseline, f.val) }}
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

{{ picture_grid(images, captions) }}

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

<h2>Prediction sets</h2>
{%- if f.sets.threshold is none %}
<p>There are none: {{ f.sets.reason }}.</p>
{%- else %}{% set part = f.sets.test %}
<p>A scan's set holds every class of probability {{ "%.3f"|format(f.sets.threshold) }} or more, and the
likeliest class in any case. Of scans like those of the validation split at least {{ percent }} % have their
true class in it. Where it holds several, the network abstains and a person decides.</p>
<div class="table"><table>
<thead><tr><th>Test split</th><th class="n">Value</th></tr></thead>
<tbody>
<tr><td>Sets that hold the true class</td>{{ cell(part.coverage) }}</tr>
<tr><td>Classes a set</td>{{ cell(part.size) }}</tr>
<tr><td>Scans passed on to a person</td>{{ cell(part.abstained) }}</tr>
<tr><td>Accuracy of the rest</td>{{ cell(part.accuracy_decided) }}</tr>
{%- for label, share in part.by_class.items() %}
<tr><td>Sets of {{ label }} scans that hold {{ label }}</td>{{ plain(share) }}</tr>
{%- endfor %}
</tbody></table></div>
<p class="soft">The promise is over all classes together: a rare one may be held less often.</p>
{%- endif %}

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
{{ settings_table(f.settings) }}
<p class="soft">Intervals: percentiles of a bootstrap that draws patients, not scans, since scans of one
patient resemble each other (Efron and Tibshirani 1993; Rutter 2000). Draws without one of the split's classes
are repeated ({{ f.bootstrap.test.redrawn }} for test). The interval of ECE is corrected for the bootstrap's
bias. Temperature scaling and ECE (15 bins): Guo et al. 2017. Prediction sets: Sadinle, Lei and
Wasserman 2019. All probabilities are calibrated ones.</p>
</body>
</html>
"""


def _headlines(facts: Facts) -> dict[str, object]:
    """The four test numbers on top by title; of two classes, the positive one's."""
    test, labels = facts["test"], facts["labels"]
    cards = {"AUC": test["auc_macro"], "Accuracy": test["accuracy"]}
    if len(labels) == 2:
        positive = facts["per_class"]["test"][labels[1]]
        return {
            "cards": cards
            | {
                f"Sensitivity for {labels[1]}": positive["sensitivity"],
                f"Specificity for {labels[1]}": positive["specificity"],
            }
        }
    means = {"Sensitivity": test["sensitivity_macro"], "Specificity": test["specificity_macro"]}
    return {"cards": cards | means}


CLASS_PAGE = Page(_TEMPLATE, _CAPTIONS, "%.3f", _CARDS, _headlines)
