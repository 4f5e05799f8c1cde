"""What pages share: escaping, numbers and their absence, pictures that were drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from scanlens.evaluation.page_parts import embedded, head, rendered

HOSTILE = "<script>alert('1')</script>"


def shown(template: str, **values: object) -> str:
    return rendered(template, digits="%.2f", **values)


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


def test_pictures_that_were_drawn_are_embedded(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"ABC")
    (tmp_path / "other.png").write_bytes(b"")
    assert embedded(tmp_path, {"a": "", "b": ""}) == {"a": "QUJD"}


def test_the_head_carries_a_pages_own_style_and_no_address() -> None:
    text = head("a title", ".own { color: red; }\n")
    assert "<title>a title</title>" in text
    assert text.index(".own { color: red; }") > text.index(".figures {")
    assert "100%)" in text
    assert "http" not in text
    assert "url(" not in text
