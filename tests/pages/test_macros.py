"""Macros of the pages: escaping, numbers and their absence."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from scanlens.pages.render import page_environment

HOSTILE = "<script>alert('1')</script>"


def shown(template: str, **values: object) -> str:
    names = "warning_list, plain, cell, metrics_table, picture_grid, settings_table"
    used = f"{{% from 'pages/macros.html.j2' import {names} with context %}}"
    return page_environment().from_string(used + template).render(digits="%.2f", **values)


def test_words_from_outside_are_escaped_wherever_they_stand() -> None:
    text = shown(
        "{{ warning_list([h]) }}{{ settings_table({h: h}) }}{{ picture_grid({h: 'QUJD'}, {h: h}) }}"
        "{{ cell(entry) }}",
        h=HOSTILE, entry={"value": None, "reason": HOSTILE},
    )  # fmt: skip
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 7


def test_a_number_comes_with_its_interval_and_note_or_the_reason_it_is_missing() -> None:
    entry = {"value": 0.126, "low": 0.1, "high": 0.2}
    assert shown("{{ cell(e) }}", e=entry) == (
        '<td class="n">0.13 <span class="interval">(0.10&ndash;0.20)</span></td>'
    )
    assert shown("{{ cell(e) }}", e={**entry, "low": None}) == '<td class="n">0.13</td>'
    assert "over 2 of 3" in shown("{{ cell(e) }}", e={**entry, "note": "over 2 of 3"})
    assert "no scan" in shown("{{ cell(e) }}", e={"value": None, "reason": "no scan"})
    assert shown("{{ plain(none) }}{{ plain(2) }}") == '<td class="n">&ndash;</td><td class="n">2.00</td>'


def test_nothing_to_warn_of_is_no_list() -> None:
    assert shown("{{ warning_list([]) }}").strip() == ""


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        shown("{{ absent }}")
