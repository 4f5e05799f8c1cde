"""Rates over the steps against torch's and timm's own schedules."""

from __future__ import annotations

import pytest
import timm.scheduler
import torch

from scanlens.config.schema import Schedule
from scanlens.training.schedules import build_schedule, factor

NAMES = ("one_cycle", "cosine", "step", "exponential", "constant")


def optimiser(
    kind: type[torch.optim.Optimizer] = torch.optim.AdamW, lr: float = 0.1
) -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(2))], "lr": rate} for rate in (0.0, 0.3 * lr, lr)]
    return kind(groups)  # type: ignore[call-arg]


def rates(schedule: Schedule, steps: int, group: int = -1) -> list[float]:
    stepped = optimiser()
    plan = build_schedule(stepped, schedule, steps)
    seen = []
    for _ in range(steps):
        seen.append(stepped.param_groups[group]["lr"])
        stepped.step()
        plan.step()
    return seen


def reference(scheduler: torch.optim.lr_scheduler.LRScheduler, steps: int) -> list[float]:
    seen = []
    for _ in range(steps):
        seen.append(scheduler.optimizer.param_groups[-1]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return seen


def test_cosine_is_torchs() -> None:
    plain = optimiser()
    expected = reference(torch.optim.lr_scheduler.CosineAnnealingLR(plain, T_max=39, eta_min=0.001), 40)
    assert rates(Schedule("cosine", 0.0, 0.01), 40) == pytest.approx(expected)


def test_cosine_behind_a_warm_up_is_timms() -> None:
    plain = optimiser()
    timms = timm.scheduler.CosineLRScheduler(plain, t_initial=30, lr_min=0.001)
    expected = []
    for step in range(31):
        timms.step(step)
        expected.append(plain.param_groups[-1]["lr"])
    ours = rates(Schedule("cosine", 0.225, 0.01), 40)
    assert ours[:9] == pytest.approx([0.1 * (k + 1) / 9 for k in range(9)])
    assert ours[9:] == pytest.approx(expected)


def test_exponential_is_torchs() -> None:
    plain = optimiser()
    expected = reference(torch.optim.lr_scheduler.ExponentialLR(plain, gamma=0.01 ** (1 / 39)), 40)
    assert rates(Schedule("exponential", 0.0, 0.01), 40) == pytest.approx(expected)


def test_step_is_torchs() -> None:
    plain = optimiser()
    expected = reference(torch.optim.lr_scheduler.MultiStepLR(plain, [20, 30], gamma=0.1), 41)
    assert rates(Schedule("step", 0.0, 0.5), 41) == pytest.approx(expected)


def test_warm_up_is_torchs_linear() -> None:
    plain = optimiser()
    expected = reference(torch.optim.lr_scheduler.LinearLR(plain, 0.1, 1.0, total_iters=9), 40)
    assert rates(Schedule("constant", 0.25, 0.5), 40) == pytest.approx(expected)


def test_one_cycle_is_torchs() -> None:
    plain = optimiser()
    groups = [group["lr"] for group in plain.param_groups]
    torchs = torch.optim.lr_scheduler.OneCycleLR(plain, max_lr=groups, total_steps=40, pct_start=0.3)
    expected = reference(torchs, 40)
    ours = rates(Schedule("one_cycle", 0.3, 0.01), 40)
    assert ours == pytest.approx(expected)
    assert ours[0] == pytest.approx(0.1 / 25)
    assert ours.index(max(ours)) == 11
    assert ours[-1] < 1e-6


def test_momentum_that_is_a_setting_is_not_cycled() -> None:
    def momenta(stepped: torch.optim.Optimizer, key: str) -> set[object]:
        plan = build_schedule(stepped, Schedule("one_cycle", 0.25, 0.01), 12)
        seen = set()
        for _ in range(12):
            seen.add(stepped.param_groups[-1][key])
            stepped.step()
            plan.step()
        return seen

    assert momenta(optimiser(torch.optim.SGD), "momentum") == {0}
    assert len(momenta(optimiser(), "betas")) > 6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warmup", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 40])
def test_every_length_has_rates_within_the_peak(name: str, warmup: float, steps: int) -> None:
    seen = rates(Schedule(name, warmup, 0.0), steps)  # type: ignore[arg-type]
    assert all(0 <= rate <= 0.1 * (1 + 1e-9) for rate in seen)
    assert max(seen) > 0


@pytest.mark.parametrize("name", NAMES)
def test_groups_keep_their_shares_and_a_rate_of_zero(name: str) -> None:
    schedule = Schedule(name, 0.2, 0.05)  # type: ignore[arg-type]
    head, third, none = (rates(schedule, 20, group) for group in (2, 1, 0))
    assert third == pytest.approx([0.3 * rate for rate in head])
    assert none == [0.0] * 20


def test_schedules_differ_and_settings_count() -> None:
    seen = {name: tuple(rates(Schedule(name, 0.2, 0.05), 40)) for name in NAMES}  # type: ignore[arg-type]
    assert len(set(seen.values())) == len(NAMES)
    for name in NAMES:
        assert tuple(rates(Schedule(name, 0.4, 0.05), 40)) != seen[name]  # type: ignore[arg-type]
    for name in ("cosine", "exponential"):
        assert tuple(rates(Schedule(name, 0.2, 0.5), 40)) != seen[name]  # type: ignore[arg-type]
        assert rates(Schedule(name, 0.2, 0.5), 40)[-1] == pytest.approx(0.05)  # type: ignore[arg-type]


def test_steps_beyond_the_last_keep_its_rate() -> None:
    schedule = Schedule("cosine", 0.0, 0.25)
    assert factor(schedule, 60, 40) == factor(schedule, 39, 40) == 0.25


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_schedule_goes_on(name: str) -> None:
    schedule = Schedule(name, 0.2, 0.05)  # type: ignore[arg-type]
    whole = rates(schedule, 20)
    first = optimiser()
    plan = build_schedule(first, schedule, 20)
    for _ in range(7):
        first.step()
        plan.step()
    second = optimiser()
    resumed = build_schedule(second, schedule, 20)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(plan.state_dict())
    seen = []
    for _ in range(13):
        seen.append(second.param_groups[-1]["lr"])
        second.step()
        resumed.step()
    assert seen == pytest.approx(whole[7:])
