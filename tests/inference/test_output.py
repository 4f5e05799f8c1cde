"""Folders that hold something: only what is ours is replaced, whole or not at all, by one run at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scanlens import cli
from scanlens.errors import SettingsError
from scanlens.inference.batch import list_inputs, predict_batch
from scanlens.inference.bundle import Bundle, open_bundle
from scanlens.inference.explain import explain
from scanlens.inference.runtime import choose_runtime
from scanlens.inference.viewer import Request
from scanlens.manifest.survey import CHECKS, survey
from scanlens.methods.views import Options
from scanlens.scaling.engine import IN_PROCESS
from tests.helpers.tiny import edit_bundle, write_scan

Predict = Callable[..., tuple[int, int]]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for number in range(3):
        write_scan(tmp_path / "scans" / f"{number}.png", number)
    return tmp_path / "scans"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def bundles(tiny_bundle: Path, bundle_folder: Path) -> tuple[Bundle, Bundle]:
    """Two, whose calibration differs."""
    first = open_bundle(tiny_bundle)
    edit_bundle(bundle_folder, calibration={**first.description["calibration"], "temperature": 3.0})
    return first, open_bundle(bundle_folder)


@pytest.fixture
def predict(bundles: tuple[Bundle, Bundle], scans: Path, out: Path) -> Predict:
    """Predict all scans with the first bundle or the second; one scan a batch."""

    def run(number: int = 0, path: Path = scans, output: Path = out, **options: Any) -> tuple[int, int]:
        judge = options.pop("judge", None) or choose_runtime(bundles[number], "onnx", 1)[1]
        return predict_batch(
            bundles[number], judge, path, output, **{"batch_size": 1, "maps": True, **options}
        )

    return run


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_fits(out: Path) -> None:
    """Every map that the table names is there."""
    for name in pd.read_csv(out / "predictions.csv")["map"]:
        assert (out / name).is_file()
        assert (out / name).with_suffix(".npy").is_file()


@pytest.mark.parametrize("name", ["predictions.csv", "failures.csv", "maps/drawing.png", "maps"])
def test_files_of_others_in_the_place_of_ours_are_refused(predict: Predict, out: Path, name: str) -> None:
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("path,label\nmine,normal\n")
    before = content(out)
    with pytest.raises(SettingsError, match=r"no scanlens wrote.*--output|can't be written") as caught:
        predict()
    assert "\n" not in str(caught.value)
    assert content(out) == before
    assert sorted(out.iterdir()) == [out / name.split("/")[0]]


def test_an_unrelated_maps_folder_does_not_matter_where_none_is_written(predict: Predict, out: Path) -> None:
    (out / "maps").mkdir(parents=True)
    (out / "maps" / "own.png").write_text("mine")
    predict(maps=False)
    assert (out / "maps" / "own.png").read_text() == "mine"


def test_a_second_run_takes_the_first_ones_maps_and_no_drawings(
    predict: Predict, scans: Path, out: Path
) -> None:
    predict()
    (out / "maps" / "drawing.png").write_text("a reader's")
    (out / "notes.txt").write_text("mine")
    first = set(pd.read_csv(out / "predictions.csv")["map"])
    (scans / "2.png").unlink()
    predict(1)
    second = set(pd.read_csv(out / "predictions.csv")["map"])
    assert len(second) == 2
    assert not first & second
    assert_fits(out)
    assert {f"maps/{path.name}" for path in (out / "maps").glob("*.png")} == second | {"maps/drawing.png"}
    assert len(list((out / "maps").glob("*.npy"))) == 2
    assert (out / "maps" / "drawing.png").read_text() == "a reader's"
    predict(maps=False)
    assert set(content(out)) == {"maps/drawing.png", "notes.txt", "predictions.csv", "failures.csv"}


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_a_second_run_that_stops_early_leaves_the_first_whole(
    predict: Predict, out: Path, bundles: tuple[Bundle, Bundle], stop: type[BaseException]
) -> None:
    predict()
    before = content(out)
    judge, asked = choose_runtime(bundles[1], "onnx", 1)[1], []

    def stops(scans: Any) -> Any:
        asked.append(scans)
        if len(asked) == 3:
            raise stop
        return judge(scans)

    with pytest.raises(stop):
        predict(1, judge=stops)
    assert content(out) == before
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("moved", range(8))
def test_a_stop_while_files_take_their_places_never_leaves_a_table_without_its_maps(
    predict: Predict, out: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    predict()
    replace, done = Path.replace, []

    def stops(self: Path, target: Path) -> Path:
        if len(done) == moved:
            raise KeyboardInterrupt
        done.append(target)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stops)
        with pytest.raises(KeyboardInterrupt):
            predict(1)
    assert_fits(out)
    predict(1)
    assert_fits(out)


def test_what_a_killed_run_left_is_cleared_and_nothing_else(predict: Predict, out: Path) -> None:
    left = out / ".scanlens-output" / "maps"
    left.mkdir(parents=True)
    for name in ("000000-0123456789abcdef-0123456789abcdef.npy", "own.png"):
        (left / name).write_text("x")
    (left.parent / "predictions.csv").write_text("half a li")
    predict()
    assert_fits(out)
    assert {path.name for path in (out / ".scanlens-output").rglob("*") if path.is_file()} == {"own.png"}


def test_two_runs_into_one_folder_are_one_line(predict: Predict, out: Path) -> None:
    predict()
    before = content(out)
    handle = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(SettingsError, match=r"another scanlens is writing here.*--output"):
            predict(1)
    finally:
        os.close(handle)
    assert content(out) == before
    predict(1)


def test_what_an_earlier_run_wrote_is_never_an_input(
    predict: Predict, scans: Path, bundles: tuple[Bundle, Bundle]
) -> None:
    names = ["0.png", "1.png", "2.png"]
    for output in (scans, scans / "deep" / "out", scans):
        assert predict(path=scans, output=output) == (3, 0)
    request = Request(("probability", "filters"), ("predicted",), Options(steps=1), progress=False)
    for _ in range(2):
        assert len(explain(bundles[0], scans, scans / "deep", request)["scans"]) == 3
    # A reader's drawing among the maps is no scan either, beside pictures it may be one.
    write_scan(scans / "maps" / "drawing.png")
    write_scan(scans / "deep" / "3.png")
    assert list_inputs(scans)[1]["path"].tolist() == [*names, "deep/3.png"]
    found = survey(scans, dims=2, checks=CHECKS, engine=IN_PROCESS)
    assert [scan.path for scan in found.scans] == [*names, "deep/3.png"]
    map_of_ours = next((scans / "maps").glob("0*.png"))
    with pytest.raises(SettingsError, match="scanlens wrote it"):
        predict(path=map_of_ours)
    with pytest.raises(SettingsError, match="holds no scans"):
        list_inputs(scans / "deep" / "out")


def test_scans_with_names_like_ours_are_scans_where_no_run_of_ours_was(scans: Path) -> None:
    write_scan(scans / "0123456789abcdef-front.png")
    write_scan(scans / "filters.png")
    write_scan(scans / "maps" / "1.png")
    assert len(list_inputs(scans)[1]) == 6


def test_explanations_replace_only_explanations(
    scans: Path, out: Path, bundles: tuple[Bundle, Bundle]
) -> None:
    request = Request(("filters",), ("predicted",), Options(steps=1, channels=1), progress=False)
    for name in ("filters.png", "explanation.json"):
        out.mkdir(exist_ok=True)
        (out / name).write_text("mine")
        with pytest.raises(SettingsError, match=f"{name}: exists, and no scanlens wrote it"):
            explain(bundles[0], scans, out, request)
        assert content(out) == {name: b"mine"}
        (out / name).unlink()
    for _ in range(2):
        explain(bundles[0], scans, out, request)
        assert set(content(out)) == {"filters.png", "filters.npy", "explanation.json"}
    # Other methods' pictures stay: one folder may collect them.
    explain(bundles[0], scans, out, Request(("probability",), ("all",), Options(), progress=False))
    assert len(content(out)) == 3 + 2 * 3


STRANGERS = (
    "scans/notes.txt", "scans/labels.csv", "scans/deep/maps/own.png", "scans/.hidden/x", "out/own.txt",
    "out/maps/drawing.png", "out/maps.txt", "out/0123456789abcdef-own.txt", "out/deep/maps/y.npy",
    "bundle/own.txt", "data/00_scans/a.dcm", "data/01_raw/a.dcm", "data/06_models/own.pt", "own.yaml",
    "conf/experiment/own.yaml",
)  # fmt: skip


def test_no_command_touches_the_files_of_others(
    project: Path,
    tmp_path: Path,
    bundle_folder: Path,
    scans: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every command twice and interrupted, with a stranger's file in every folder it reads and writes."""
    shutil.copytree(project / "conf", tmp_path / "conf")
    shutil.copy(project / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["scanlens", *arguments])
        return cli.main()

    both = ["--bundle=bundle", "--input=scans", "--output=out", "--threads=1"]
    assert call("predict", *both) == 0
    for name in STRANGERS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# a stranger's\n")
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in STRANGERS}
    scanned = content(scans)
    commands = [
        ["predict", *both],
        ["predict", *both, "--no-maps"],
        ["predict", *both, "--runtime=torch"],
        ["predict", *both[:2], "--output=scans", "--threads=1"],
        ["explain", *both, "--method=probability", "--method=filters", "--steps=1"],
        ["check", "scans", "--workers=1", "--report=out/report.csv"],
        ["check", "scans", "--workers=1", "--report=scans/labels.csv"],
        ["params"],
        ["params", "data=folder", "data.root=data/01_raw"],
        ["params", "data=folder", "data.root=data/00_scans"],
        ["bundle", "bundle"],
    ]
    for command in commands:
        for _ in range(2):
            assert call(*command) in (cli.DONE, cli.REFUSED, cli.SOME_FAILED)
        assert {name: (tmp_path / name).stat().st_mtime_ns for name in STRANGERS} == before, command

    from scanlens.inference.reading import Reader

    read = Reader.__call__

    def interrupted(self: Reader, reference: str) -> Any:
        if reference == "1.png":
            raise KeyboardInterrupt
        return read(self, reference)

    def one_by_one(*arguments: Any, **_: Any) -> Iterator[Any]:
        from scanlens.scaling import engine

        yield from engine.map_ordered(*arguments, engine=IN_PROCESS, total=3)

    monkeypatch.setattr(Reader, "__call__", interrupted)
    monkeypatch.setattr("scanlens.inference.batch.map_ordered", one_by_one)
    for command in commands[:5]:
        assert call(*command) == 130, command
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in STRANGERS} == before
    assert {name: text for name, text in content(scans).items() if name in scanned} == scanned
