"""A data root among the outputs is refused before DVC empties it; scans beside them survive every command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scanlens.config.compose import compose_text
from scanlens.config.outputs import refuse_output
from scanlens.errors import SettingsError


@pytest.mark.parametrize(
    ("root", "said"),
    [
        (".", r"data.root \. holds data/01_raw/acquired, an output of stage acquire"),
        ("..", "holds data/01_raw/acquired"),
        ("data", "holds data/01_raw/acquired"),
        ("data/01_raw", "holds data/01_raw/acquired"),
        ("data/01_raw/acquired", "is data/01_raw/acquired"),
        ("data/03_preprocessed/", "is data/03_preprocessed, an output of stage preprocess"),
        ("data/02_manifest/deep/er", "lies in data/02_manifest"),
        ("data/../data/06_models/members/3", "lies in data/06_models/members"),
        ("data/07_reports", "holds data/07_reports/acquire.json"),
    ],
)
def test_a_data_root_among_the_outputs_is_refused(project: Path, root: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        compose_text(project, ["data=folder", f"data.root='{root}'"])
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError, match=r"holds|is|lies in"):
        refuse_output(project, str((project / root).resolve()))


@pytest.mark.parametrize("root", ["data/01_raw/scans", "data/00_scans", "conf/data/phantom.yaml", "/scans"])
def test_every_other_data_root_is_welcome(project: Path, root: str) -> None:
    refuse_output(project, root)


def test_a_link_to_an_output_is_one(project: Path, tmp_path: Path) -> None:
    shutil.copy(project / "dvc.yaml", tmp_path)
    (tmp_path / "data" / "08_maps").mkdir(parents=True)
    (tmp_path / "mine").symlink_to(tmp_path / "data" / "08_maps")
    with pytest.raises(SettingsError, match=r"data\.root mine is data/08_maps"):
        refuse_output(tmp_path, "mine")
    (tmp_path / "dvc.yaml").unlink()
    refuse_output(tmp_path, "mine")


OWN = ("data/01_raw/scans/a.dcm", "data/01_raw/labels.csv", "data/00_scans/a.dcm", "data/06_models/own.pt")


@pytest.mark.whole
def test_own_scans_beside_the_outputs_survive_dvc_and_make_clean(project: Path, tmp_path: Path) -> None:
    """With the outputs of our dvc.yaml, all written by one stage, under DVC itself."""
    stages = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    outs = [out.replace("${item.member}", "0") for stage in stages.values() for out in stage["outs"]]
    (tmp_path / "make.py").write_text(
        f"from pathlib import Path\nfor out in {outs!r}:\n"
        "    Path(out).parent.mkdir(parents=True, exist_ok=True)\n    Path(out).write_text('ours')\n"
    )
    stage = {"cmd": f"{sys.executable} make.py", "deps": ["make.py"], "params": ["a"], "outs": outs}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"all": stage}}))
    (tmp_path / "params.yaml").write_text("a: 1\n")
    (tmp_path / ".gitignore").write_text("/data/\n")
    for own in OWN:
        (tmp_path / own).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / own).write_text("mine")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **{f"GIT_{who}": "t@example.com" for who in ("AUTHOR_NAME", "AUTHOR_EMAIL")},
        **{f"GIT_{who}": "t@example.com" for who in ("COMMITTER_NAME", "COMMITTER_EMAIL")},
    }
    for command in (
        "git init -q", "dvc init -q", "git add -A", "git commit -qm first",
        "dvc exp run -S a=2", "dvc repro", "dvc repro --force", "git add -A", "git commit -qm second",
        "dvc checkout --force", "dvc exp run -S a=3",
        f"make --no-print-directory -f {project / 'Makefile'} clean",
    ):  # fmt: skip
        result = subprocess.run(
            command.split(), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, (command, result.stderr[-800:])
        assert [(tmp_path / own).read_text() for own in OWN] == ["mine"] * len(OWN), command
    # Clean took every output, and nothing else.
    left = {p.relative_to(tmp_path).as_posix() for p in (tmp_path / "data").rglob("*") if p.is_file()}
    assert left == set(OWN)
