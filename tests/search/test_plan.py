"""A sweep read from a file and the command line, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scanlens.errors import SettingsError
from scanlens.search.plan import read_plan
from scanlens.search.space import grid
from scanlens.search.sweep import check_space

PROJECT = Path(__file__).resolve().parent.parent.parent
SWEEPS = sorted(path.stem for path in (PROJECT / "conf/sweep").glob("*.yaml"))
LR = "training.lr=log(1e-4,1e-2)"


def plan_of(*words: str, **options: Any) -> Any:
    return read_plan(PROJECT, words, options)


@pytest.mark.parametrize("name", SWEEPS)
def test_every_shipped_sweep_composes(name: str) -> None:
    plan = plan_of(name)
    assert plan.name == name
    assert len(check_space(PROJECT, plan)) == 64


def test_transfer_compares_modes_and_networks_and_baselines_from_scratch_only() -> None:
    plan = plan_of("transfer")
    combinations = grid(plan.space, plan.exclude, plan.fixed)
    assert len(combinations) == 2 * 4 + 2
    baselines = [c for c in combinations if c["model"] in ("dense", "edges")]
    assert [c["transfer"] for c in baselines] == ["scratch", "scratch"]
    assert plan.until == "evaluation"


def test_the_command_line_adds_replaces_and_fixes() -> None:
    plan = plan_of("transfer", "model=cnn,dense", "transfer=scratch", "training.epochs=2", "data.root=/a=b")
    assert [d.text for d in plan.space] == ["cnn,dense"]
    assert plan.fixed == {
        "transfer": "scratch",
        "training.epochs": "2",
        "training.epoch_scans": "1024",
        "data.root": "/a=b",
    }
    assert plan.overrides({"model": "cnn"})[-1] == "model=cnn"
    assert len(grid(plan.space, plan.exclude, plan.fixed)) == 2


def test_options_beat_the_file() -> None:
    assert plan_of("lr").metric == "val_loss"
    plan = plan_of(
        "lr", metric="val_auc", trials=3, jobs=2, name="mine", seed=5, sampler="random", pruner=None
    )
    assert (plan.metric, plan.trials, plan.jobs, plan.name, plan.seed, plan.sampler, plan.pruner) == (
        "val_auc", 3, 2, "mine", 5, "random", "median",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("val_loss", "minimize"),
        ("val_auc", "maximize"),
        ("val_accuracy", "maximize"),
        ("val_mae", "minimize"),
    ],
)
def test_the_direction_follows_from_the_metric(metric: str, direction: str) -> None:
    assert plan_of(LR, metric=metric).direction == direction


@pytest.mark.parametrize(
    ("words", "options", "named"),
    [
        ([LR], {"metric": "test.auc_macro"}, "test split must choose nothing"),
        ([LR], {"metric": "train_loss"}, "validation split"),
        ([LR], {"metric": "val.auc_macro"}, "--until evaluation"),
        ([LR], {"metric": "val.auc_macro", "until": "evaluation"}, "--pruner none"),
        (["training.loss.label_smoothing=0,0.1"], {}, "val_loss means another thing"),
        (["training.epochs=3"], {}, "nothing to choose"),
        (["lr", "transfer"], {}, "Two sweeps"),
        (["lrr"], {}, "Did you mean lr"),
        ([LR], {"name": "../x"}, "name is"),
        ([LR], {"name": "o'x"}, "name is"),
        ([LR], {"name": "a?b"}, "name is"),
        ([LR], {"name": "a b"}, "pattern"),
        ([LR], {"sampler": "cmaes"}, "'tpe', 'random' or 'grid'"),
        ([LR], {"trials": 0}, "trials is 0: Input should be greater than 0"),
        ([LR], {"until": "manifest"}, "'ensemble', 'evaluation'"),
        (["transfer"], {"sampler": "tpe"}, "exclude needs"),
        (["tracking=off,local"], {}, "can't choose tracking"),
    ],
    ids=str,
)
def test_what_is_refused(words: list[str], options: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        plan_of(*words, **options)
    assert named in str(caught.value)


def test_what_a_study_remembers_holds_no_address() -> None:
    plan = plan_of(LR, "tracking.uri=http://bob:secret@host/", "runtime.threads=1", "training.epochs=3")
    assert plan.identity()["fixed"] == {"training.epochs": "3"}
    assert "tracking.uri=http://bob:secret@host/" in plan.overrides({})


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["training.lrr=log(1e-4,1e-2)"], "Did you mean lr"),
        (["training.lr=log(1e-4,100)"], "at most 10"),
        (["model=cnn,resnet19"], "resnet19"),
        ([LR, "training.epochs=0"], "at least 1"),
    ],
)
def test_a_space_that_conf_does_not_take_stops_before_any_work(words: list[str], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_space(PROJECT, plan_of(*words))
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("space: {a: b, c", "no YAML"),
        ("- a", "no settings"),
        ("spaces: {}\nspace: {model: 'cnn,dense'}", "spaces is {}"),
        ("space: [a]", "space must be a mapping"),
        ("space: {training.lr: 'log(1e-4,1e-2)'}\nexclude: {a: b}", "exclude must be a list"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, content: str, named: str) -> None:
    (tmp_path / "conf/sweep").mkdir(parents=True)
    (tmp_path / "conf/sweep/odd.yaml").write_text(content)
    with pytest.raises(SettingsError) as caught:
        read_plan(tmp_path, ["odd"], {})
    assert named in str(caught.value)
