"""What lies between a sweep and the stages of its trials: the socket, the copy, the experiment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import optuna
import pytest
import yaml

from scanlens.config.compose import compose_text
from scanlens.errors import ScanlensError, SettingsError
from scanlens.search.epochs import EpochLine
from scanlens.search.experiment import difference, experiment_path, write_experiment
from scanlens.search.pipeline import _wait, failure, read_metric
from scanlens.search.study import REASON
from scanlens.search.sweep import shared_reason, trials_table
from scanlens.search.workspace import PID, bring_paths, end_group, end_left_over
from scanlens.tracking.trial import VARIABLE, Trial, TrialStopped, current_trial, with_sweep


def trial_of(line: EpochLine, key: str | None = None) -> Trial:
    return Trial("s", 0, {}, "", line.address, key or line.key)


def test_without_a_sweep_the_listener_stays_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert current_trial() is None
    listener = lambda metrics, epoch: None  # noqa: E731
    assert with_sweep(listener) is listener


def test_epochs_reach_the_sweep_and_its_answer_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, logged = [], []

    def judge(metrics: dict[str, float], epoch: int) -> bool:
        heard.append((epoch, metrics))
        return epoch < 2

    with EpochLine(judge) as line:
        monkeypatch.setenv(VARIABLE, trial_of(line).environment()[VARIABLE])
        hook = with_sweep(lambda metrics, epoch: logged.append(epoch))
        hook({"val_loss": 0.5}, 0)
        hook({"val_loss": 0.25}, 1)
        with pytest.raises(TrialStopped, match="after epoch 3"):
            hook({"val_loss": 0.2}, 2)
    assert heard == [(0, {"val_loss": 0.5}), (1, {"val_loss": 0.25}), (2, {"val_loss": 0.2})]
    assert logged == [0, 1, 2]
    # The sweep is gone: the stage must not train on for nobody.
    with pytest.raises(TrialStopped, match="is gone"):
        hook({"val_loss": 0.1}, 3)
    assert not Path(line.address).exists()


def test_a_study_that_cannot_be_written_lets_the_training_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def judge(metrics: dict[str, float], epoch: int) -> bool:
        if epoch == 0:
            raise OSError("database is locked")
        return epoch < 2

    with EpochLine(judge) as line:
        monkeypatch.setenv(VARIABLE, trial_of(line).environment()[VARIABLE])
        hook = with_sweep(lambda metrics, epoch: None)
        hook({}, 0)
        hook({}, 1)
        with pytest.raises(TrialStopped, match="after epoch 3"):
            hook({}, 2)
    assert "not judged: OSError: database is locked" in capsys.readouterr().err


def test_a_stranger_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    with EpochLine(lambda metrics, epoch: bool(heard.append(epoch)) or True) as line:
        from multiprocessing import AuthenticationError

        monkeypatch.setenv(VARIABLE, trial_of(line, "00" * 16).environment()[VARIABLE])
        with pytest.raises(AuthenticationError):
            with_sweep(lambda metrics, epoch: None)({}, 0)
        assert heard == []
        monkeypatch.setenv(VARIABLE, trial_of(line).environment()[VARIABLE])
        with_sweep(lambda metrics, epoch: None)({}, 1)
    assert heard == [1]
    assert line.key not in str(threading.enumerate())


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "> python\ntraining: The loss is not finite. Lower it.\nERROR: failed to reproduce",
            "training: The loss",
        ),
        (
            "acquire: 12 scans in x (1.2 s)\nTraceback\nValueError: odd\nERROR: failed to reproduce 'a'",
            "ValueError",
        ),
        ("acquire: 12 scans in x (1.2 s)\nKilled\n", "Killed"),
        ("", "no reason"),
    ],
)
def test_the_reason_of_a_failure_is_the_stages_own(log: str, reason: str) -> None:
    assert reason in failure(log)


@pytest.mark.parametrize(
    ("reason", "shared"),
    [
        ("training: the loss is not finite. Lower it.", "training: the loss is not finite. Lower it."),
        ("", ""),
        ("manifest: SMITH_JOHN/1.dcm: no pixels", "see trial-0003.log in the project"),
        ("FileNotFoundError: /scans/SMITH_JOHN", "see trial-0003.log in the project"),
    ],
)
def test_messages_that_may_name_patients_stay_in_the_project(reason: str, shared: str) -> None:
    study = optuna.create_study()
    for _ in range(4):
        trial = study.ask()
        trial.set_user_attr(REASON, reason)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert shared_reason(study.trials[3]) == shared
    assert trials_table(study)["reason"].tolist()[3] == shared


def test_metrics_are_read_from_the_stages_reports(tmp_path: Path) -> None:
    reports = tmp_path / "data/07_reports"
    reports.mkdir(parents=True)
    (reports / "training.json").write_text('{"val_loss": 0.5, "epochs": 3}')
    (reports / "metrics.json").write_text('{"val": {"auc_macro": 0.75, "ece": null}}')
    assert read_metric(tmp_path, "val_loss") == 0.5
    assert read_metric(tmp_path, "val.auc_macro") == 0.75
    with pytest.raises(ScanlensError, match="holds no val_aucc"):
        read_metric(tmp_path, "val_aucc")
    with pytest.raises(ScanlensError, match="undefined"):
        read_metric(tmp_path, "val.ece")


def test_relative_paths_are_found_from_the_copy(tmp_path: Path) -> None:
    project, copy = tmp_path / "project", tmp_path / "project/.scanlens/sweeps/s/worker-0"
    copy.mkdir(parents=True)
    for folder in (project / "scans/deep", tmp_path / "outside"):
        folder.mkdir(parents=True)
    inside = {"data": {"root": "scans/deep"}, "transfer": {"file": None}}
    for _ in range(2):
        assert bring_paths(project, copy, inside) == []
    assert (copy / "scans/deep").resolve() == project / "scans/deep"
    outside = {"data": {"root": "../outside"}, "transfer": {"file": "w.safetensors"}}
    assert bring_paths(project, copy, outside) == [f"data.root='{tmp_path / 'outside'}'"]
    odd = tmp_path / "o'brien\\"
    odd.mkdir()
    (override,) = bring_paths(project, copy, {"data": {"root": "../o'brien\\"}})
    composed = compose_text(Path(__file__).parents[2], ["data=table", "data.table=t.csv", override])
    assert yaml.safe_load(composed)["data"]["root"] == str(odd)
    absolute = {"data": {"root": str(tmp_path)}, "transfer": {"file": "~/w"}}
    assert bring_paths(project, copy, absolute) == []


def test_a_process_that_will_not_end_is_made_to() -> None:
    code = "import signal as s, time; s.signal(s.SIGTERM, s.SIG_IGN); print(1, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    ended = threading.Thread(target=process.wait)
    ended.start()
    end_group(process.pid, grace_s=0.3)
    ended.join(30)
    assert process.returncode == -9
    end_group(os.getpid() + 10**6)


def test_a_stop_waits_for_the_stage_that_outlives_its_leader() -> None:
    stage = (
        "import os, signal as s, time; s.signal(s.SIGTERM, s.SIG_IGN); "
        "print(1, flush=True); time.sleep(1); os._exit(0)"
    )
    leader = f"import subprocess as p, sys, time; p.Popen([sys.executable, '-c', {stage!r}]); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", leader], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    stopping = threading.Event()
    stopping.set()
    assert _wait(process, stopping, threading.Event()) == -15
    # The pipe ends with the last process that holds it.
    os.set_blocking(process.stdout.fileno(), False)
    assert process.stdout.read() == b""


@pytest.mark.parametrize("content", ["", "x", "999999999"])
def test_a_number_that_was_not_written_ends_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / PID).write_text(content)
    end_left_over(tmp_path)
    assert not (tmp_path / PID).exists()


@pytest.fixture
def conf(tmp_path: Path, project: Path) -> Path:
    shutil.copytree(project / "conf", tmp_path / "conf")
    return tmp_path


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.lr=0.001"],
        ["model=resnet18", "model.dropout=0.3", "training.lr=0.001"],
        ["data=table", "data.root=/scans", "data.table=labels.csv", "transfer=head"],
        ["experiment=quick", "training.batch_size=16"],
        ["seed=7", "model.hidden=[64,32]", "preprocess.size=64"],
        ["training.lr=0.003"],
    ],
    ids=str,
)
def test_an_experiment_composes_to_the_best_trials_settings(conf: Path, overrides: list[str]) -> None:
    path = write_experiment(conf, "best", [*overrides, "runtime.threads=1"], ["value 1", "more"])
    wanted = yaml.safe_load(compose_text(conf, overrides))
    assert yaml.safe_load(compose_text(conf, ["experiment=best"])) == wanted
    text = path.read_text()
    assert text.startswith("# @package _global_\n# Best of the sweep best: value 1\n# more\n")
    assert "threads" not in text
    base = yaml.safe_load(compose_text(conf))
    content = yaml.safe_load(text) or {}
    # Only what differs.
    if content.get("training"):
        assert difference(base["training"], content["training"]) == content["training"]
    # A later sweep of the name replaces it.
    write_experiment(conf, "best", ["training.lr=0.002"], ["value 2"])
    assert yaml.safe_load(compose_text(conf, ["experiment=best"]))["training"]["lr"] == 0.002


def test_an_experiment_of_ones_own_stays(conf: Path) -> None:
    with pytest.raises(SettingsError, match="is no sweep's"):
        experiment_path(conf, "quick")
    assert experiment_path(conf, "new").name == "new.yaml"
