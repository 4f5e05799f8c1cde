from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from scanlens.map_scores.estimates import Estimator
from scanlens.map_scores.kinds import MapKinds
from scanlens.map_scores.lesions import CHANCE, LESION_SCORES, score_all, scored_indices
from scanlens.map_scores.pictures import draw
from scanlens.map_scores.randomisation import TOLERATED, cascade, randomised, shares
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Ensemble
from tests.helpers.planted import Planted, bright_network, level_network, plant
from tests.helpers.settings import map_scores


def deep(head: str = "softmax") -> Classifier:
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.ReLU()
    )
    network = Classifier(backbone, 5, 4, 0.1, head=head).eval()
    with torch.no_grad():
        for number in network.state_dict().values():
            if number.is_floating_point():
                number.add_(0.3)
    return network


def changed(one: nn.Module, two: nn.Module) -> list[str]:
    after = two.state_dict()
    return [
        name
        for name, number in one.state_dict().items()
        if not torch.equal(number, after[name]) and "num_batches" not in name
    ]


def scans() -> torch.Tensor:
    return torch.rand(6, 1, 12, 12, generator=torch.Generator().manual_seed(1))


def test_the_cascade_goes_from_the_head_down() -> None:
    network = deep()
    before = {name: number.clone() for name, number in network.state_dict().items()}
    layers = [{name.rpartition(".")[0] for name in changed(network, randomised(network, share, 0, scans()))}
              for share in (0.2, 0.4, 0.6, 1.0)]  # fmt: skip
    assert layers == [
        {"head"},
        {"head", "backbone.4"},
        {"head", "backbone.4", "backbone.3"},
        {"head", "backbone.4", "backbone.3", "backbone.1", "backbone.0"},
    ]
    assert all(torch.equal(number, before[name]) for name, number in network.state_dict().items())
    assert shares(4) == [0.25, 0.5, 0.75, 1.0]


def test_the_seed_decides_and_the_callers_random_numbers_stay() -> None:
    network = deep()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (randomised(network, 1.0, seed, scans()) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert changed(first, again) == []
    assert "head.weight" in changed(first, other)
    assert not first.training
    assert not any(module.training for module in first.modules())


def test_normalising_layers_know_the_random_features() -> None:
    """Each channel has mean 0 and variance 1 over the reference scans, so maps are not flat."""
    network = randomised(deep(), 1.0, 0, scans())
    with torch.no_grad():
        features = network.backbone[:5](scans())
    np.testing.assert_allclose(features.mean((0, 2, 3)), 0, atol=2e-3)
    np.testing.assert_allclose(features.var((0, 2, 3)), 1, atol=5e-2)
    assert network.backbone[1].momentum == 0.1


def test_weights_without_a_rule_are_shuffled_and_every_member_is_changed() -> None:
    ordinal = deep("ordinal")
    with torch.no_grad():
        ordinal.head.steps.copy_(torch.tensor([1.0, 2.0]))
    found = {tuple(randomised(ordinal, 1.0, seed, scans()).head.steps.tolist()) for seed in range(8)}
    assert found == {(1.0, 2.0), (2.0, 1.0)}
    members = Ensemble([deep(), deep()])
    names = changed(members, randomised(members, 0.2, 0, scans()))
    assert {name.split(".")[1] for name in names} == {"0", "1"}


@pytest.fixture(scope="module")
def level(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Squares neither darker nor brighter than the rest: only who has learnt it finds them."""
    folder: Path = tmp_path_factory.mktemp("level")
    return plant(folder, level=0.5, others=(0.1, 0.9), soft=0.0)


def test_the_random_network_is_at_chance(level: Planted) -> None:
    network, sample, settings = level_network(), level.sample(), map_scores(levels=2, randomisations=6)
    kinds = MapKinds(1.0)
    (pictures,) = draw(network, sample, kinds, np.arange(16), (sample.targets,))
    indices = scored_indices(sample)
    trained = score_all(sample, pictures, ["probability_map"], indices)["probability_map"]
    steps = cascade(network, sample, kinds, pictures, indices, settings)
    assert [one["grad_cam"]["ssim"].shape for one in steps.alike] == [(16, 1), (16, 6)]
    whole = steps.lesions[-1]["probability_map"]
    estimator = Estimator(sample.patients[indices], settings)
    for score in LESION_SCORES:
        beyond = (whole[score] - whole[CHANCE[score]]).mean()
        assert beyond < TOLERATED * (trained[score] - trained[CHANCE[score]]).mean(), score
        gap = estimator.means({score: trained[score][:, None] - whole[score]})[score]
        assert gap.low > 0.3
    assert abs(steps.alike[-1]["probability_map"]["spearman"].mean()) < 0.6


def test_settings_change_the_cascade_and_given_maps_are_left_out(planted: Planted) -> None:
    sample, network = planted.sample(), bright_network()
    kinds = MapKinds(1.0, {"given": np.ones((16, 2, 4, 4))})
    (pictures,) = draw(network, sample, kinds, np.arange(16), (sample.targets,))

    def numbers(**changes: int) -> np.ndarray:
        steps = cascade(network, sample, kinds, pictures, np.array([1]), map_scores(**changes))
        assert set(steps.alike[0]) == {"probability_map", "evidence_map", "grad_cam"}
        assert len(steps.alike) == changes["levels"]
        return steps.alike[-1]["probability_map"]["spearman"]

    first = numbers(levels=1, randomisations=2)
    assert first.shape == (16, 2)
    np.testing.assert_array_equal(numbers(levels=2, randomisations=2), first)
    np.testing.assert_array_equal(numbers(levels=1, randomisations=1), first[:, :1])
    np.testing.assert_array_equal(numbers(levels=1, randomisations=1, seed=1), first[:, 1:])
