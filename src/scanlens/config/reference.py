"""``docs/settings.md``: every setting with its bound, its default and the comment over it in ``conf/``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from scanlens.config.compose import CONF, choices, compose_text
from scanlens.config.kinds import expected
from scanlens.config.load import SECTIONS
from scanlens.config.parse import fields_of, section_in

REFERENCE_PAGE = "docs/settings.md"
_HEAD = """# Settings

Made of `conf/` and `src/scanlens/config/` by `scanlens params --reference`; edit those.

Change one with `scanlens params section.key=value`, or take another choice of a group with
`scanlens params group=choice`; [conf/](../conf/README.md) says how they compose. A value out of bounds is
refused before the first stage, and so are values that contradict each other.
"""


def reference(project: Path) -> str:
    """The page, of the default choices.

    Args:
        project: Folder that holds ``conf/``.
    """
    defaults = yaml.safe_load(compose_text(project))
    chosen = {
        group: choice
        for entry in yaml.safe_load((project / CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
        if isinstance(entry, dict)
        for group, choice in entry.items()
    }
    parts = [_HEAD]
    for section, kind in SECTIONS.items():
        folder = project / CONF / section
        comments = _group_comments(folder, chosen[section])
        parts.append(f"\n## {section}\n{inspect.getdoc(kind)}\n".split("\n\nAttributes")[0].rstrip() + "\n")
        names = choices(project / CONF, section)
        if len(names) > 1:
            parts += ["\n"] + [
                f"- `{section}={name}`: {_headline(folder / f'{name}.yaml')}\n" for name in names
            ]
        parts.append("\n| setting | value | default | meaning |\n|---|---|---|---|\n")
        parts += _rows(kind, section, defaults[section], comments)
    return "".join(parts)


def _rows(kind: type, key: str, values: Any, comments: Mapping[str, str]) -> Iterator[str]:
    """A row for each setting of a section, in order, those of inner sections after their own."""
    for name, field in fields_of(kind).items():
        below, inner = f"{key}.{name}", section_in(field)
        value = values[name] if isinstance(values, Mapping) else None
        meaning = comments.get(below.partition(".")[2].replace("[]", ""), "")
        if meaning or not inner:
            default = _flow(value) if isinstance(values, Mapping) and not (inner and value) else ""
            yield f"| `{below}` | {_cell(expected(field))} | {default} | {_cell(meaning)} |\n"
        if inner:
            yield from _rows(inner, f"{below}[]" if isinstance(value, list) else below, value, comments)


def _group_comments(folder: Path, choice: str) -> dict[str, str]:
    """Dotted keys of a group to the comments over them: of the ground file, else of the chosen one."""
    files = [folder / f"{choice}.yaml"]
    while (ground := yaml.safe_load(files[0].read_text(encoding="utf-8")).get("defaults")) is not None:
        files.insert(0, folder / f"{ground[0]}.yaml")
    found: dict[str, str] = {}
    for file in files:
        text = file.read_text(encoding="utf-8")
        found = {**dict(_comments(text.splitlines(), yaml.compose(text), "")), **found}
    return found


def _comments(lines: list[str], node: Any, key: str) -> Iterator[tuple[str, str]]:
    """The comment lines right above each key of a mapping, joined."""
    if not isinstance(node, yaml.MappingNode):
        return
    for name, value in node.value:
        below, first = f"{key}{name.value}", name.start_mark.line
        if not lines[first].lstrip().startswith(name.value):
            continue  # Within braces on its parent's line.
        start = first
        while start > 0 and lines[start - 1].lstrip().startswith("#"):
            start -= 1
        if start < first:
            yield below, _joined(lines[start:first])
        yield from _comments(lines, value, f"{below}.")


def _headline(file: Path) -> str:
    """The comment at a file's top, which says what this choice is."""
    lines = file.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return _cell(_joined(lines[:end]))


def _flow(value: Any) -> str:
    """A value as it may stand in conf/ on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return f"`{text.splitlines()[0]}`"


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip().removeprefix("#").strip() for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
