from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from scanlens.map_scores.controls import CONTROLS, against_control
from scanlens.map_scores.estimates import Estimator
from scanlens.map_scores.fidelity import (
    BETTER,
    CURVES,
    Fidelity,
    areas,
    blurred,
    fractions,
    ranks,
    score_curves,
)
from scanlens.map_scores.kinds import MapKinds
from scanlens.map_scores.pictures import draw
from tests.helpers.planted import Planted, bright_network
from tests.helpers.settings import map_scores


def generators(scans: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, scan]) for scan in range(scans)]


def test_ranks_follow_the_map_and_break_ties_at_random() -> None:
    maps = np.random.default_rng(0).random((2, 5, 6))
    placed = ranks(maps, generators(2))
    for values, own in zip(maps, placed, strict=True):
        np.testing.assert_array_equal(np.argsort(-values, axis=None), np.argsort(own, axis=None))
    flat = ranks(np.zeros((1, 40, 40)), generators(1))[0]
    assert sorted(flat.ravel()) == list(range(1600))
    assert abs(np.corrcoef(flat.ravel(), np.arange(1600))[0, 1]) < 0.1
    assert (ranks(np.zeros((1, 40, 40)), generators(1, seed=1))[0] != flat).any()


def test_curves_take_out_and_put_back_what_they_say() -> None:
    """With the mean as judge each point is known."""
    inputs = torch.from_numpy(np.random.default_rng(0).random((2, 1, 10, 10)).astype(np.float32))
    order = ranks(inputs[:, 0].numpy(), generators(2))
    fidelity = Fidelity(lambda images: images.mean((1, 2, 3)).numpy(), inputs, torch.zeros_like(inputs), 5)
    curves = fidelity.curves(order)
    descending = np.sort(inputs.reshape(2, -1).numpy(), axis=1)[:, ::-1]
    start = blurred(inputs).reshape(2, -1).numpy()
    at = np.argsort(order.reshape(2, -1), axis=1)
    for point, share in enumerate(fractions(5)["deletion"]):
        count = round(share * 100)
        np.testing.assert_allclose(
            curves["deletion"][:, point], descending[:, count:].sum(1) / 100, atol=1e-5
        )
        kept = np.take_along_axis(start, at[:, count:], 1).sum(1)
        np.testing.assert_allclose(
            curves["insertion"][:, point], (descending[:, :count].sum(1) + kept) / 100, atol=1e-5
        )
    assert (np.diff(curves["road_morf"], axis=1) < 0).all(), "the brightest pixels went first"
    assert (np.diff(curves["road_lerf"], axis=1) > 0).all()


def test_noise_and_steps_change_something() -> None:
    inputs = torch.rand(1, 1, 10, 10, generator=torch.Generator().manual_seed(0))
    order = ranks(inputs[:, 0].numpy(), generators(1))

    def curves(noise: float, steps: int) -> dict[str, np.ndarray]:
        judge = Fidelity(lambda x: x.std((1, 2, 3)).numpy(), inputs, noise * torch.randn(inputs.shape), steps)
        return judge.curves(order)

    quiet, loud, fine = curves(0, 4), curves(1.0, 4), curves(0, 8)
    assert np.abs(quiet["road_morf"] - loud["road_morf"]).max() > 0.01
    np.testing.assert_array_equal(quiet["deletion"], loud["deletion"])
    assert fine["deletion"].shape[1] == 9
    np.testing.assert_allclose(fine["deletion"][:, ::2], quiet["deletion"])


def test_areas_are_mean_heights() -> None:
    curves = {name: np.full((2, len(shares)), 0.4) for name, shares in fractions(10).items()}
    curves["road_lerf"] = np.tile(fractions(10)["road_lerf"], (2, 1))
    found = areas(curves, 10)
    assert found["deletion"] == pytest.approx(0.4)
    assert found["road_lerf"] == pytest.approx(0.45)
    assert found["road"] == pytest.approx(0.05)


class Logits(torch.nn.Module):
    """A classifier as peers expect one."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, scans: torch.Tensor) -> torch.Tensor:
        return self.network.logits(scans)


def test_deletion_equals_quantus(planted: Planted, quantus_library: ModuleType) -> None:
    network, batch = bright_network(), next(planted.sample().batches())
    maps = np.random.default_rng(0).random(batch.scans.shape).astype(np.float32)
    classes = np.array([1, 0, 1, 0, 1])
    metric = quantus_library.PixelFlipping(
        features_in_step=32 * 32 // 8, abs=False, normalise=False, perturb_baseline=0.0,
        return_auc_per_sample=False, disable_warnings=True, display_progressbar=False,
    )  # fmt: skip
    theirs = metric(
        model=Logits(network).eval(), x_batch=batch.inputs.numpy().copy(), y_batch=classes, a_batch=maps,
        channel_first=True, softmax=True,
    )  # fmt: skip

    def judge(images: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            return network.logits(images).softmax(1).numpy()[np.arange(5), classes]

    fidelity = Fidelity(judge, batch.inputs, torch.zeros_like(batch.inputs), 8)
    ours = fidelity.curves(ranks(maps[:, 0], generators(5)))["deletion"]
    # Its curve begins after the first step.
    np.testing.assert_allclose(ours[:, 1:], np.array(theirs), atol=1e-5)


def test_road_equals_quantus(planted: Planted, quantus_library: ModuleType) -> None:
    """Quantus says how many scans are still judged right after so many per cent went, most relevant first."""
    network, batch = bright_network(), next(planted.sample().batches())
    lesions = batch.indices % 2 == 1
    inputs = batch.inputs[torch.from_numpy(lesions)]
    maps = inputs.numpy() + 0.01 * np.random.default_rng(0).random(inputs.shape).astype(np.float32)
    metric = quantus_library.ROAD(
        percentages=[10, 30, 50], noise=0.0, abs=False, normalise=False, disable_warnings=True,
        display_progressbar=False,
    )  # fmt: skip
    theirs = metric(
        model=Logits(network).eval(), x_batch=inputs.numpy().copy(), y_batch=np.ones(len(inputs), int),
        a_batch=maps, channel_first=True,
    )  # fmt: skip

    def judge(images: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            return (network.logits(images).argmax(1) == 1).numpy().astype(float)

    fidelity = Fidelity(judge, inputs, torch.zeros_like(inputs), 10)
    ours = fidelity.curves(ranks(maps[:, 0], generators(len(inputs))))["road_morf"].mean(0)
    np.testing.assert_allclose(ours[1:4], [theirs[share] for share in (10, 30, 50)])


@pytest.mark.parametrize("data", ["planted", "volumes"])
def test_the_true_map_beats_the_controls_and_a_wrong_one_does_not(
    data: str, request: pytest.FixtureRequest
) -> None:
    found: Planted = request.getfixturevalue(data)
    sample = found.sample()
    network = bright_network(dims=len(sample.size))

    def wrong(own: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        return -own.explain(inputs).local.softmax(1) + 1

    kinds = MapKinds(1.0, {"wrong": wrong})
    (pictures,) = draw(network, sample, kinds, np.arange(len(sample)), (sample.predicted,))
    indices = np.flatnonzero(sample.predicted == 1)
    curves = score_curves(network, sample, pictures, indices, temperature=1.0, steps=10)
    assert set(curves["wrong"]) == set(CURVES)
    scores = {kind: areas(own, 10) for kind, own in curves.items()}
    estimator = Estimator(sample.patients[indices], map_scores())
    for control in CONTROLS:
        for score, better in BETTER.items():
            right, other = (
                against_control(
                    estimator, kind, control, score, scores[kind][score], scores[control][score], better
                )
                for kind in ("probability_map", "wrong")
            )
            assert right.verdict == "beats", (control, score, right)
            assert other.verdict != "beats", (control, score, other)


def test_temperature_and_other_scans_of_the_batch(planted: Planted) -> None:
    network = bright_network()

    def curves(batch_size: int, temperature: float) -> np.ndarray:
        sample = planted.sample(batch_size=batch_size)
        (pictures,) = draw(network, sample, MapKinds(1.0), np.arange(16), (sample.predicted,))
        return score_curves(network, sample, pictures, np.array([1, 2, 3]), temperature, 4)["random"][
            "road_morf"
        ]

    np.testing.assert_allclose(curves(2, 1.0), curves(3, 1.0), atol=1e-3)
    assert np.abs(curves(3, 1.0) - curves(3, 5.0)).max() > 0.01
