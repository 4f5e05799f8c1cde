"""How the report of numbers is laid out."""

from __future__ import annotations

from scanlens.evaluation.page_parts import Page

_CAPTIONS = {
    "scatter": "On the dashed line predictions are right. The band is the interval predictions come with.",
    "bland_altman": "Error against size (Bland and Altman 1986): mean error, and 1.96 standard deviations.",
}

_TEMPLATE = """<h1>Evaluation of {{ f.labels[0] }}</h1>
<p class="soft">{{ f.counts.test.scans }} test scans of {{ f.counts.test.patients }} patients, used for
neither training nor intervals. In brackets: {{ percent }} % intervals from
{{ f.bootstrap.test.resamples }} resamples of patients.</p>
{{ warning_list(f.warnings) }}

{{ metrics_table(titles, f.test, f.baseline, f.val) }}
<p class="soft">Without looking: what always answering the training split's mean
({{ "%.4g"|format(f.baseline.value) }}) reaches on the test split. Validation numbers are flattering: that
split chose the weights.</p>

{{ picture_grid(images, captions) }}

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
{{ settings_table(f.settings) }}
</body>
</html>
"""

NUMBER_PAGE = Page(_TEMPLATE, _CAPTIONS, "%.4g")
