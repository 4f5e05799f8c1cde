"""The report a person reads where numbers were predicted: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from scanlens.evaluation.page import HEAD

TITLES = {
    "mae": ("Mean absolute error", "in the label's unit; lower is better"),
    "rmse": ("Root mean squared error", "in the label's unit, large errors count more; lower is better"),
    "r2": ("R2", "share of the labels' variance that is explained; 0 is always their mean"),
    "pearson": ("Pearson correlation", "of predictions and labels"),
    "spearman": ("Spearman correlation", "of their ranks"),
}
CAPTIONS = {
    "scatter": "On the dashed line predictions are right. The band is the interval predictions come with.",
    "bland_altman": "Error against size (Bland and Altman 1986): mean error, and 1.96 standard deviations.",
}

PAGE = (
    HEAD
    + """<body>
{%- macro cell(entry) -%}
<td class="n">{% if entry.value is none %}&ndash;<span class="soft">{{ entry.reason }}</span>{% else -%}
{{ "%.4g"|format(entry.value) }}
{%- if entry.low is not none %} <span class="interval">({{ "%.4g"|format(entry.low) }}&ndash;{{
"%.4g"|format(entry.high) }})</span>{% endif %}{% endif %}</td>
{%- endmacro %}
{%- macro plain(value) -%}
<td class="n">{% if value is none %}&ndash;{% else %}{{ "%.4g"|format(value) }}{% endif %}</td>
{%- endmacro %}
<h1>Evaluation of {{ f.labels[0] }}</h1>
<p class="soft">{{ f.counts.test.scans }} test scans of {{ f.counts.test.patients }} patients, used for
neither training nor intervals. In brackets: {{ percent }} % intervals from
{{ f.bootstrap.test.resamples }} resamples of patients.</p>
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
{{ plain(f.baseline[name]) }}{{ cell(f.val[name]) }}</tr>
{%- endfor %}
</tbody></table></div>
<p class="soft">Without looking: what always answering the training split's mean
({{ "%.4g"|format(f.baseline.value) }}) reaches on the test split. Validation numbers are flattering: that
split chose the weights.</p>

<h2>Pictures of the test split</h2>
<div class="figures">
{%- for name, image in images.items() %}
<figure><img alt="{{ name }}: {{ captions[name] }}" src="data:image/png;base64,{{ image }}">
<figcaption>{{ captions[name] }}</figcaption></figure>
{%- endfor %}
</div>

<h2>Interval of a prediction</h2>
<p>{% if f.calibration.half_width is none %}There is none: {{ f.calibration.reason }}.{% else -%}
Every prediction comes with an interval of &plusmn; {{ "%.4g"|format(f.calibration.half_width) }}, which is to
hold the true number of {{ percent }} % of new scans (split-conformal, from the errors on
{{ f.calibration.fitted_on.scans }} validation scans; Lei et al. 2018). On the test split it holds
{% if f.calibration.coverage is none %}no scan, for there is none{% else %}
{{ "%.1f"|format(100 * f.calibration.coverage) }} %{% endif %}.{% endif %}</p>

<h2>Scans</h2>
<div class="table"><table>
<thead><tr><th>Split</th><th class="n">Scans</th><th class="n">Patients</th><th class="n">Mean</th>
<th class="n">Standard deviation</th><th class="n">Least</th><th class="n">Greatest</th></tr></thead>
<tbody>
{%- for name, row in f.counts.items() %}
<tr><td>{{ name }}</td><td class="n">{{ row.scans }}</td><td class="n">{{ row.patients }}</td>
{%- for key in ("mean", "std", "min", "max") %}{{ plain(row[key]) }}{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>

<h2>Settings</h2>
<div class="table"><table><tbody>
{%- for name, value in f.settings.items() %}
<tr><td>evaluation.{{ name }}</td><td>{{ value }}</td></tr>
{%- endfor %}
</tbody></table></div>
</body>
</html>
"""
)


def render_number_page(facts: dict[str, Any], figures: Path) -> str:
    """The whole page as text, pictures embedded; every word from outside is escaped.

    Args:
        facts: As :func:`scanlens.evaluation.regression_run.evaluate_numbers` gives them.
        figures: Folder with the PNG files named in :data:`CAPTIONS`, as far as they were drawn.
    """
    paths = {name: figures / f"{name}.png" for name in CAPTIONS}
    images = {
        name: base64.b64encode(path.read_bytes()).decode() for name, path in paths.items() if path.is_file()
    }
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(PAGE)
    percent = f"{100 * facts['settings']['confidence']:g}"
    return template.render(f=facts, titles=TITLES, captions=CAPTIONS, images=images, percent=percent)
