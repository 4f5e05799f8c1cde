"""What the documents show must work: targets exist, commands parse, overrides compose, links lead on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from scanlens.cli import parser
from scanlens.config.compose import compose_text

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "conf/README.md", "data/README.md")),
    *sorted((PROJECT / "docs").glob("*.md")),
]
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
BLOCKS = "\n".join(block for language, block in FENCES if language in ("", "bash"))
COMMANDS = sorted({line.split("#")[0].strip() for line in BLOCKS.splitlines()} - {""})


def starting(word: str) -> list[str]:
    return [command for command in COMMANDS if command.split()[0] == word]


@pytest.mark.parametrize("command", starting("make"))
def test_make_targets_exist(command: str) -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for target in command.split()[1:]:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no target {target}"


@pytest.mark.parametrize("command", starting("scanlens"))
def test_scanlens_commands_parse(command: str) -> None:
    assert parser().parse_args(shlex.split(command)[1:]).run


@pytest.mark.parametrize("command", [c for c in starting("dvc") if "-S" in c])
def test_overrides_compose(command: str) -> None:
    # Loops count from 0.
    words = shlex.split(command.replace("$i", "0"))
    overrides = [words[i + 1] for i, word in enumerate(words) if word == "-S"]
    assert overrides
    assert compose_text(PROJECT, overrides)


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            if not target.startswith("https://"):
                assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_stage_is_explained() -> None:
    stages = re.findall(r"^  ([a-z_]+):$", (PROJECT / "dvc.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    for stage in stages:
        assert f"| {stage} |" in (PROJECT / "docs/stages.md").read_text(encoding="utf-8")
