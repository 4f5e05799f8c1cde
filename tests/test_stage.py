"""Around a stage: outputs appear whole or not at all, a refusal is one line and exit code 1."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from pipelines.stage import REPORTS, stage, whole_folder
from scanlens.config.compose import compose_text
from scanlens.errors import SettingsError


@pytest.fixture(autouse=True)
def _elsewhere(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text(compose_text(project))
    monkeypatch.chdir(tmp_path)


def fill(target: Path, name: str, *, fail: bool = False) -> None:
    with whole_folder(target) as folder:
        assert list(folder.iterdir()) == []
        (folder / name).write_text("x")
        if fail:
            raise OSError("disk full")


def test_a_folder_appears_when_all_is_written(tmp_path: Path) -> None:
    target = tmp_path / "data" / "out"
    with whole_folder(target) as folder:
        assert not target.exists()
        # The same disk, so that the last step is a rename.
        assert folder.parent == target.parent
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")
    assert (target / "deep" / "file").read_text() == "x"
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_a_new_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    fill(tmp_path / "out", "old")
    fill(tmp_path / "out", "new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


def test_a_failure_leaves_the_old_folder_and_the_next_run_starts_empty(tmp_path: Path) -> None:
    fill(tmp_path / "out", "old")
    with pytest.raises(OSError, match="disk full"):
        fill(tmp_path / "out", "half", fail=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]
    fill(tmp_path / "out", "new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


def test_a_report_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with stage("acquire") as run:
        (run.folder(Path("data/one")) / "file").write_text("x")
        (run.folder(Path("data/two")) / "file").write_text("x")
        assert not Path("data/one").exists()
        run.report({"scans": 3, "classes": {"a": 1}}, "3 scans in data/one")
    assert Path("data/one/file").is_file()
    assert Path("data/two/file").is_file()
    report = json.loads((REPORTS / "acquire.json").read_text())
    assert report.pop("seconds") >= 0
    assert report == {"stage": "acquire", "scans": 3, "classes": {"a": 1}}
    captured = capsys.readouterr()
    assert captured.out.startswith("acquire: 3 scans in data/one (")
    assert captured.out.count("\n") == 1
    assert captured.err == ""


def refuse(name: str) -> None:
    with stage(name) as run:
        (run.folder(Path("data/one")) / "half").write_text("x")
        raise SettingsError("data.root is missing.", "Add data.root=PATH.")


def test_a_refusal_is_one_line_and_exit_code_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        refuse("acquire")
    assert caught.value.code == 1
    captured = capsys.readouterr()
    assert captured.err == "acquire: data.root is missing. Add data.root=PATH.\n"
    assert captured.out == ""
    assert not Path("data/one").exists()
    assert not (REPORTS / "acquire.json").exists()


def fail() -> None:
    with stage("acquire") as run:
        (run.folder(Path("data/one")) / "half").write_text("x")
        raise ZeroDivisionError


def test_a_mistake_in_the_code_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        fail()
    # Neither the folder nor its half-written double.
    assert list(Path("data").iterdir()) == []


def test_the_report_of_evaluation_holds_no_duration() -> None:
    with stage("evaluation") as run:
        run.report({}, "done")
    assert not (REPORTS / "evaluation.json").exists()


def test_wrong_settings_of_another_stage_are_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text().replace("bootstrap:", "bootstrapp:"))
    with pytest.raises(SystemExit), stage("acquire"):
        pytest.fail("the stage started")
    assert "evaluation.bootstrapp is not a setting" in capsys.readouterr().err


def stop() -> None:
    with stage("acquire") as run:
        (run.folder(Path("data/one")) / "half").write_text("x")
        raise KeyboardInterrupt


def test_a_stop_by_hand_is_one_line_and_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        stop()
    assert caught.value.code == 130
    captured = capsys.readouterr()
    assert captured.err.startswith("acquire: stopped.")
    assert captured.err.count("\n") == 1
    assert not Path("data/one").exists()


def give_out(error: BaseException) -> None:
    with stage("acquire") as run:
        (run.folder(Path("data/one")) / "half").write_text("x")
        raise error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no room left on the disk"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory"),
        (PermissionError(errno.EACCES, "Permission denied", "data/one/x"), "data/one/x: permission denied."),
        (MemoryError(), "out of memory"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
            "out of memory",
        ),
    ],
    ids=str,
)
def test_a_shortage_and_a_refusal_of_the_system_are_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        give_out(error)
    assert caught.value.code == 1
    line = capsys.readouterr().err
    assert line.startswith("acquire: ")
    assert said in line
    assert line.count("\n") == 1
    assert not Path("data/one").exists()


def test_only_the_first_of_several_processes_writes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    with stage("acquire") as run:
        folder = run.folder(Path("data/one"))
        (folder / "file").write_text("x")
        run.report({}, "done")
    assert not folder.exists()
    assert not Path("data").exists()
    assert capsys.readouterr().out == ""
