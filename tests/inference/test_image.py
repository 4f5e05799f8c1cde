"""The inference image: built and run with the container engine that is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

IMAGE = "scanlens-test:latest"
THREE = 3
TIMEOUT = 1800


def call(project: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``docker/image.sh`` with the test's own image name."""
    return subprocess.run(
        ["sh", str(project / "docker" / "image.sh"), *map(str, arguments)],
        env={**os.environ, "IMAGE": IMAGE, **environment},
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def scans(project: Path) -> list[Path]:
    """The three scans that the image is tried on; skips where the pipeline has not run."""
    found = sorted((project / "data" / "01_raw" / "acquired" / "scans").glob("*"))[:THREE]
    if not (project / "data" / "09_bundle" / "bundle.json").is_file() or len(found) < THREE:
        pytest.skip("no data/09_bundle or no built-in scans: run make repro first")
    return found


@pytest.fixture(scope="module")
def engine(project: Path, scans: list[Path]) -> Iterator[str]:
    """The engine's name; skips where containers don't run or no base image can be had."""
    found = call(project, "base")
    if found.returncode != 0:
        pytest.skip(f"no image can be built here: {found.stderr.strip().splitlines()[-1]}")
    name = found.stdout.split()[1].rstrip(",")
    yield name
    subprocess.run([name, "image", "rm", "--force", IMAGE], capture_output=True, timeout=TIMEOUT, check=False)


@pytest.fixture(scope="module")
def built(project: Path, engine: str) -> str:
    """What building and the first run printed."""
    result = call(project)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


@pytest.fixture
def folders(tmp_path: Path, scans: list[Path]) -> tuple[Path, Path]:
    """The three scans in a folder of their own, and a folder that the image's user may write to."""
    incoming, outgoing = tmp_path / "in", tmp_path / "out"
    incoming.mkdir()
    outgoing.mkdir()
    outgoing.chmod(0o777)
    for scan in scans:
        shutil.copyfile(scan, incoming / scan.name)
    return incoming, outgoing


def tools_without_engine(folder: Path) -> str:
    """A PATH with what the script needs and no container engine."""
    folder.mkdir()
    for name in ("dirname", "mktemp", "rm", "sed", "umount"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return str(folder)


def test_says_what_to_do_without_an_engine(project: Path, tmp_path: Path) -> None:
    shell = shutil.which("sh")
    assert shell is not None
    result = subprocess.run(
        [shell, str(project / "docker" / "image.sh"), "base"],
        env={"PATH": tools_without_engine(tmp_path / "bin"), "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("image: no container engine works here.")
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bin"], "the script left something behind"


@pytest.mark.parametrize("arguments", [("push",), ("run",), ("run", "/nowhere", "/nowhere")])
def test_wrong_usage(project: Path, arguments: tuple[str, ...]) -> None:
    result = call(project, *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("image: ")


@pytest.mark.whole
def test_build_and_first_run(built: str, scans: list[Path]) -> None:
    rows = [
        line for line in built.splitlines() if line.endswith(tuple("0123456789abcdef")) and ".dcm," in line
    ]
    assert [row.split(",")[0] for row in rows] == [scan.name for scan in scans]
    assert built.splitlines()[-1].startswith(f"image: {IMAGE}, ")


@pytest.mark.whole
def test_predicts_what_the_checkout_predicts(
    project: Path, built: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    from scanlens.inference.batch import predict_batch
    from scanlens.inference.bundle import open_bundle
    from scanlens.inference.runtime import choose_runtime

    incoming, outgoing = folders
    result = call(project, "run", incoming, outgoing)
    assert result.returncode == 0, result.stderr[-2000:]
    bundle = open_bundle(project / "data" / "09_bundle")
    predict_batch(
        bundle, choose_runtime(bundle, "auto", 1)[1], incoming, tmp_path / "here", batch_size=32, maps=True
    )
    inside = pd.read_csv(outgoing / "predictions.csv")
    outside = pd.read_csv(tmp_path / "here" / "predictions.csv")
    numbers = [name for name in outside.columns.astype(str) if name.startswith("probability_")]
    np.testing.assert_allclose(inside[numbers], outside[numbers], atol=1e-5)
    others = ["path", "scan_id", "label", "map", "bundle"]
    pd.testing.assert_frame_equal(inside[others], outside[others])
    assert all((outgoing / name).is_file() for name in inside["map"])


@pytest.mark.whole
def test_damaged_scan_is_exit_3_and_a_row_in_failures(
    project: Path, built: str, folders: tuple[Path, Path]
) -> None:
    incoming, outgoing = folders
    (incoming / "damaged.dcm").write_bytes(next(incoming.iterdir()).read_bytes()[:600])
    result = call(project, "run", incoming, outgoing, "--no-maps", "--json")
    assert result.returncode == 3
    summary = json.loads(result.stdout)
    assert (summary["predicted"], summary["failed"], summary["runtime"]) == (THREE, 1, "onnx")
    assert list(pd.read_csv(outgoing / "failures.csv")["path"]) == ["damaged.dcm"]


@pytest.mark.whole
@pytest.mark.parametrize("target", ["/opt/elsewhere", "/in/elsewhere"])
def test_writes_nowhere_but_to_its_output(
    project: Path, built: str, folders: tuple[Path, Path], target: str
) -> None:
    result = call(project, "run", *folders, "--output", target)
    assert result.returncode == 1
    assert f"{target}: can't be written" in result.stderr


@pytest.mark.whole
def test_has_no_torch(project: Path, built: str, folders: tuple[Path, Path]) -> None:
    result = call(project, "run", *folders, "--runtime", "torch")
    assert result.returncode == 1
    assert "torch" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.whole
def test_user_is_a_number_and_nothing_hides_mounts(built: str, engine: str) -> None:
    shown = subprocess.run(
        [engine, "image", "inspect", IMAGE], capture_output=True, text=True, timeout=60, check=True
    )
    config = json.loads(shown.stdout)[0]["Config"]
    user = config["User"].split(":")[0]
    assert user.isdigit()
    assert int(user) > 0
    assert not config.get("Volumes")
    assert config["Entrypoint"][:2] == ["scanlens", "predict"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
