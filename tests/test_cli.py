"""The command line: exit codes, one line per refusal, JSON for programs, and a quick --help."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scanlens import __version__, cli
from scanlens.tracking.runs import open_run
from tests.helpers.tiny import edit_json, tracking, write_scan

COMMANDS = ["params", "check", "predict", "explain", "sweep", "compare", "bundle"]
Capture = pytest.CaptureFixture[str]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["scanlens", *map(str, arguments)])
    return cli.main()


def loaded_by(*arguments: str) -> set[str]:
    code = (
        "import json, sys\nfrom scanlens.cli import main\n"
        f"sys.argv = ['scanlens', *{list(arguments)!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(result.stderr.splitlines()[-1]))


def test_help_imports_nothing_heavy() -> None:
    heavy = {"numpy", "pandas", "torch", "mlflow", "sklearn", "matplotlib", "hydra", "yaml", "cv2"}
    assert not loaded_by("--help") & heavy


def test_predict_loads_no_framework(tiny_bundle: Path, tmp_path: Path) -> None:
    write_scan(tmp_path / "scans" / "a.png")
    loaded = loaded_by(
        "predict",
        f"--bundle={tiny_bundle}",
        f"--input={tmp_path / 'scans'}",
        f"--output={tmp_path / 'out'}",
    )
    assert (tmp_path / "out" / "predictions.csv").is_file()
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "sklearn", "matplotlib", "mlflow", "hydra", "monai", "pytorch_lightning"}


@pytest.mark.parametrize("command", [[], *[[name] for name in COMMANDS]], ids=str)
def test_help_of_every_command(monkeypatch: pytest.MonkeyPatch, capsys: Capture, command: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, *command, "--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(" ".join(["usage: scanlens", *command]))
    if not command:
        assert all(name in text for name in COMMANDS)


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        call(monkeypatch, "--version")
    assert capsys.readouterr().out == f"scanlens {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["train"],
        ["predict"],
        ["predict", "--bundle=b", "--input=i"],
        ["predict", "--bundle=b", "--input=i", "--output=o", "--runtime=tpu"],
        ["predict", "--bundle=b", "--input=i", "--output=o", "--batch-size=0"],
        ["predict", "--bundle=b", "--input=i", "--output=o", "--threads=-1"],
        ["compare", "--limit=0"],
        ["sweep"],
        ["sweep", "lr", "--trials=0"],
        ["sweep", "lr", "--sampler=cmaes"],
        ["check"],
        ["check", "folder", "--dims=4"],
        ["check", "folder", "--limit-seconds=0"],
        ["bundle"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_two(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, *arguments)
    assert caught.value.code == cli.WRONG_USAGE == 2
    assert "usage: scanlens" in capsys.readouterr().err


def test_check(monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path) -> None:
    write_scan(tmp_path / "scans" / "a.png")
    (tmp_path / "scans" / "b.png").write_bytes(b"")
    report = tmp_path / "report.csv"
    assert call(monkeypatch, "check", tmp_path / "scans", "--workers=1", "--report", report) == cli.DONE
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith("2 files, 1 accepted, 1 quarantined")
    assert "refused: empty file" in captured.out
    assert captured.err == ""
    assert report.read_text(encoding="utf-8").count("\n") == 3
    assert call(monkeypatch, "check", tmp_path / "scans", "--json", "--dims=3", "--workers=1") == cli.DONE
    good, bad = json.loads(capsys.readouterr().out)
    assert good["reason"] == "an image, not a volume: set data.dims=2"
    assert (bad["path"], bad["status"], bad["reason"]) == ("b.png", "quarantined", "empty file")


def test_check_limits_reach_the_readers(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    write_scan(tmp_path / "scans" / "a.png", shape=(6000, 6000))
    assert call(monkeypatch, "check", tmp_path / "scans", "--json", "--workers=1", "--max-memory=64") == 0
    (scan,) = json.loads(capsys.readouterr().out)
    assert scan["status"] == "quarantined"
    assert "memory" in scan["reason"] or "needs more" in scan["reason"]


def test_check_loads_no_framework(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.png")
    loaded = loaded_by("check", str(tmp_path))
    assert "pebble" in loaded
    assert not loaded & {"torch", "sklearn", "matplotlib", "mlflow", "hydra", "monai", "ray", "faiss"}


def predict(monkeypatch: pytest.MonkeyPatch, bundle: Path, tmp_path: Path, *more: str) -> int:
    return call(
        monkeypatch, "predict", "--bundle", bundle, "--input", tmp_path / "scans", "--output",
        tmp_path / "out", "--threads=1", *more,
    )  # fmt: skip


def test_predict(monkeypatch: pytest.MonkeyPatch, capsys: Capture, tiny_bundle: Path, tmp_path: Path) -> None:
    write_scan(tmp_path / "scans" / "a.png")
    assert predict(monkeypatch, tiny_bundle, tmp_path) == cli.DONE == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.startswith("predict: 1 scans predicted, 0 failed in ")
    assert len(list((tmp_path / "out" / "maps").glob("*.png"))) == 1


def test_some_failures_are_exit_code_three_and_json_says_how_many(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tiny_bundle: Path, tmp_path: Path
) -> None:
    write_scan(tmp_path / "scans" / "a.png")
    (tmp_path / "scans" / "b.png").write_bytes(b"")
    assert (
        predict(monkeypatch, tiny_bundle, tmp_path, "--json", "--no-maps", "--runtime=torch")
        == cli.SOME_FAILED
        == 3
    )
    summary = json.loads(capsys.readouterr().out)
    bundle_id = json.loads((tiny_bundle / "bundle.json").read_text())["bundle_id"]
    assert summary == {"predicted": 1, "failed": 1, "bundle": bundle_id, "runtime": "torch"}
    assert not (tmp_path / "out" / "maps").exists()


def test_refusals_are_one_line_and_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tiny_bundle: Path, tmp_path: Path
) -> None:
    for arguments in (
        ["predict", "--bundle", tmp_path / "no", "--input", tmp_path, "--output", tmp_path / "out"],
        ["predict", "--bundle", tiny_bundle, "--input", tmp_path / "no", "--output", tmp_path / "out"],
        ["bundle", tmp_path / "no"],
        ["check", tmp_path / "no"],
    ):
        assert call(monkeypatch, *arguments) == cli.REFUSED == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"scanlens {arguments[0]}: ")
        assert captured.err.count("\n") == 1


def test_bundle_prints_the_card_or_the_description(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tiny_bundle: Path
) -> None:
    assert call(monkeypatch, "bundle", tiny_bundle) == 0
    assert capsys.readouterr().out == (tiny_bundle / "MODEL_CARD.md").read_text()
    assert call(monkeypatch, "bundle", tiny_bundle, "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tiny_bundle / "bundle.json").read_text())


def test_bundle_refuses_an_altered_one_and_one_without_card(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tiny_bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (tmp_path / "bundle" / "MODEL_CARD.md").unlink()
    assert call(monkeypatch, "bundle", tmp_path / "bundle") == 1
    assert "MODEL_CARD.md" in capsys.readouterr().err
    edit_json(tmp_path / "bundle" / "bundle.json", files={"model.onnx": "0" * 64})
    assert call(monkeypatch, "bundle", tmp_path / "bundle") == 1
    assert "altered since packaging" in capsys.readouterr().err


@pytest.fixture
def checkout(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``conf/``, entered."""
    shutil.copytree(project / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_params(monkeypatch: pytest.MonkeyPatch, capsys: Capture, checkout: Path) -> None:
    assert call(monkeypatch, "params", "--check") == 1
    assert "Run: scanlens params" in capsys.readouterr().err
    assert not (checkout / "params.yaml").exists()
    assert call(monkeypatch, "params") == 0
    assert capsys.readouterr().out == "params.yaml written\n"
    assert call(monkeypatch, "params") == 0
    assert capsys.readouterr().out == "params.yaml is up to date\n"
    assert call(monkeypatch, "params", "--check") == 0
    assert call(monkeypatch, "params", "training.epochs=7") == 0
    assert yaml.safe_load((checkout / "params.yaml").read_text())["training"]["epochs"] == 7
    assert call(monkeypatch, "params", "--check") == 1
    assert call(monkeypatch, "params", "training.epoch=7") == 1
    assert "Did you mean" in capsys.readouterr().err


def test_commands_in_a_subfolder_find_the_project(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, checkout: Path
) -> None:
    (checkout / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(checkout / "deep" / "er")
    assert call(monkeypatch, "params") == 0
    assert (checkout / "params.yaml").is_file()
    monkeypatch.chdir(checkout / "deep")
    assert call(monkeypatch, "params", "--check") == 0
    # The project's store is read, and a page goes where it was asked for.
    with open_run(tracking(checkout), {"model": {"name": "m"}, "data": {"kind": "k"}}, {}):
        pass
    monkeypatch.chdir(checkout / "deep")
    assert call(monkeypatch, "params", "tracking.uri=sqlite:///mlflow.db", "tracking.experiment=tests") == 0
    monkeypatch.chdir(checkout / "deep")
    assert call(monkeypatch, "compare", "--html", "page.html") == 0
    assert (checkout / "deep" / "page.html").is_file()


def test_a_folder_of_no_project_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (["params"], ["compare"], ["model", "lean"], ["sweep", "lr"]):
        assert call(monkeypatch, *arguments) == 1
        assert "There is no project here or above" in capsys.readouterr().err


def test_compare(monkeypatch: pytest.MonkeyPatch, capsys: Capture, checkout: Path) -> None:
    assert call(monkeypatch, "params", f"tracking.uri=sqlite:///{checkout / 'mlflow.db'}") == 0
    capsys.readouterr()
    assert call(monkeypatch, "compare") == 1
    assert "no run was tracked" in capsys.readouterr().err
    settings = yaml.safe_load((checkout / "params.yaml").read_text())
    for seed in (0, 1):
        with open_run(tracking(checkout, experiment="scanlens"), {**settings, "seed": seed}, {}) as run:
            run.log_metrics({"test.accuracy": 0.5 + seed / 10})
    capsys.readouterr()
    assert call(monkeypatch, "compare", "--metrics", "test.accuracy") == 0
    out = capsys.readouterr().out
    assert "0.6000" in out
    assert "0.5000" in out
    assert call(monkeypatch, "compare", "--json", "--limit=1") == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert row["metrics"] == {"test.accuracy": 0.6}
    assert call(monkeypatch, "compare", "--html", "page.html") == 0
    assert "Runs compared" in (checkout / "page.html").read_text(encoding="utf-8")


def test_an_interrupted_command_says_so(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scanlens.inference.bundle.open_bundle", interrupt)
    assert call(monkeypatch, "bundle", "x") == 130
    assert capsys.readouterr().err == "scanlens bundle: interrupted\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "there"), "there: permission denied."),
        (OSError(5, "Input/output error"), "input/output error."),
        (OSError(28, "No space left on device"), "there is no room left on the disk. Make room"),
        (MemoryError(), "out of memory."),
    ],
    ids=str,
)
def test_what_the_system_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: Exception, said: str
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("scanlens.inference.bundle.open_bundle", refuse)
    assert call(monkeypatch, "bundle", "x") == cli.REFUSED
    printed = capsys.readouterr().err
    assert printed.startswith(f"scanlens bundle: {said}")
    assert printed.count("\n") == 1


def test_a_report_replaces_only_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    write_scan(tmp_path / "scans" / "a.png")
    table = tmp_path / "labels.csv"
    table.write_text("path,label\na.png,normal\n")
    assert call(monkeypatch, "check", tmp_path / "scans", "--workers=1", "--report", table) == cli.REFUSED
    assert "labels.csv: exists, and no scanlens wrote it" in capsys.readouterr().err
    assert table.read_text() == "path,label\na.png,normal\n"
    for _ in range(2):
        assert call(monkeypatch, "check", tmp_path / "scans", "--workers=1", "--report", f"{table}.2") == 0
