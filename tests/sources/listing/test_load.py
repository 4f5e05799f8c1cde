"""Tables as programs write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanlens.errors import SettingsError
from scanlens.sources.listing.load import load_table

EXPECTED = [{"path": "a.png", "label": "müde"}, {"path": "b.png", "label": "1,5"}]


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("t.csv", 'path,label\na.png,müde\nb.png,"1,5"\n', "utf-8"),
        ("t.csv", "path;label\na.png;müde\nb.png;1,5\n", "utf-8-sig"),
        ("t.csv", "path\tlabel\r\na.png\tmüde\r\nb.png\t1,5\r\n", "utf-8"),
        ("t.tsv", "path\tlabel\na.png\tmüde\nb.png\t1,5\n", "utf-16"),
        ("t.tsv", 'path,label\na.png,müde\nb.png,"1,5"\n', "utf-32"),
        ("t.csv", "path|label\na.png|müde\nb.png|1,5\n", "utf-8"),
        ("t.csv", "sep=;\npath;label\na.png;müde\nb.png;1,5\n", "utf-8"),
        ("t.csv", 'path;label\n"a.png";müde\n"b.png";"1,5"\n', "utf-8"),
    ],
)
def test_separators_and_encodings(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert load_table(tmp_path, name).to_dict("records") == EXPECTED


def test_separators_inside_cells_are_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label,mask\na.png,x,m|n|o\nb.png,y;z,\n", encoding="utf-8")
    assert load_table(tmp_path, "t.csv").columns.tolist() == ["path", "label", "mask"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("path,label\na,müde\n".encode("cp1252"), r"byte 0xfc in line 2 is not UTF-8.*CSV UTF-8"),
        ("path,label\n".encode("utf-16-le"), "NUL characters"),
    ],
)
def test_other_encodings_are_not_guessed(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(SettingsError, match=reason):
        load_table(tmp_path, "t.csv")
