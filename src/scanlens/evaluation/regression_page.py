"""How the report of numbers is laid out."""

from __future__ import annotations

from scanlens.evaluation.page_parts import Page

_CAPTIONS = {
    "scatter": "On the dashed line predictions are right. The band is the interval predictions come with.",
    "bland_altman": "Error against size (Bland and Altman 1986): mean error, and 1.96 standard deviations.",
}

NUMBER_PAGE = Page("evaluation/number.html.j2", _CAPTIONS, "%.4g")
