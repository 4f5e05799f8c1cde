"""The laws of the maps: local outputs average to the output, contributions are gradient times feature."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from scanlens.config.schema import Model
from scanlens.models.classifier import ACTIVATIONS, Classifier
from scanlens.models.heads import HEADS
from scanlens.models.registry import OWN, build, resolve_model
from tests.helpers.settings import NETWORKS, model_section
from tests.helpers.tiny import model

GROUPS = {name: Model(**model_section(name)) for name in NETWORKS}
OURS = sorted(name for name, group in GROUPS.items() if group.name in OWN)
GRIDS = {2: (3, 4), 3: (3, 2, 4)}


def shaken(network: Classifier) -> Classifier:
    """Biases and batch statistics that have seen something, as after training; dropout off."""
    noise = torch.Generator().manual_seed(1)
    for name, parameter in network.named_parameters():
        if name.startswith(("head.", "hidden.")) and "weight" not in name:
            nn.init.normal_(parameter, generator=noise)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, 0, 0.1, generator=noise)
            nn.init.uniform_(module.running_var, 0.5, 1.5, generator=noise)
    return network.eval()


def small(dims: int, head: str, pooling: str, hidden: tuple[int, ...], activation: str) -> Classifier:
    """A classifier of five-feature maps on the grid of :data:`GRIDS`."""
    torch.manual_seed(3)
    cells = torch.zeros(GRIDS[dims]).numel()
    return shaken(Classifier(nn.Identity(), 5, 4, 0.5, head, pooling, cells, hidden, activation))


COMBINATIONS = [
    pytest.param(*case, id="-".join(map(str, case)))
    for case in itertools.product(
        (2, 3), HEADS, ("average", "gem", "flatten"), ((), (6,), (7, 6)), ACTIVATIONS
    )
    if case[3] or case[4] == "relu"
]


@pytest.mark.parametrize(("dims", "head", "pooling", "hidden", "activation"), COMBINATIONS)
def test_contributions_are_gradient_times_feature_and_local_outputs_average_to_the_output(
    dims: int, head: str, pooling: str, hidden: tuple[int, ...], activation: str
) -> None:
    network = small(dims, head, pooling, hidden, activation)
    maps = torch.randn(3, 5, *GRIDS[dims])
    contributions, rest, cams = network.evidence(maps)
    outputs = network(maps)
    cells = contributions[0, 0].numel()
    local = contributions * cells + rest.reshape(*rest.shape, *[1] * dims)
    torch.testing.assert_close(local.flatten(2).mean(2), outputs, rtol=1e-4, atol=1e-5)

    jacobian = torch.autograd.functional.jacobian(network, maps)
    own = torch.stack([jacobian[scan, :, scan] for scan in range(3)])
    torch.testing.assert_close(contributions, (own * maps[:, None]).sum(2), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(cams, _grad_cam(own, maps), rtol=1e-4, atol=1e-5)

    evidence = network.explain(maps)
    torch.testing.assert_close(evidence.logits, network.logits(maps), rtol=1e-4, atol=1e-5)
    assert evidence.local.shape == evidence.cams.shape == (3, 4, *GRIDS[dims])
    torch.testing.assert_close(evidence.local, network.to_logits(local), rtol=1e-4, atol=1e-5)
    if network.kind.linear:
        torch.testing.assert_close(evidence.local.flatten(2).mean(2), evidence.logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(evidence.rest, rest)
    of_logits = torch.autograd.functional.jacobian(network.logits, maps)
    own = torch.stack([of_logits[scan, :, scan] for scan in range(3)])
    torch.testing.assert_close(evidence.cams, _grad_cam(own, maps), rtol=1e-3, atol=1e-5)


def _grad_cam(gradient: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Of gradients ``(batch, output, feature, *grid)`` as Selvaraju et al. write it."""
    weights = gradient.flatten(3).mean(3)
    return torch.einsum("bof,bf...->bo...", weights, maps)


def check_law(network: Classifier, scans: torch.Tensor) -> None:
    """Only rounding is forgiven."""
    network = shaken(network)
    with torch.inference_mode():
        evidence, logits = network.explain(scans), network.logits(scans)
    assert evidence.local.ndim == scans.ndim
    assert evidence.local.shape[:2] == logits.shape
    assert logits.std() > 0
    size = float(evidence.local.abs().max())
    torch.testing.assert_close(evidence.logits, logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        evidence.local.flatten(2).double().mean(2).float(), logits, rtol=1e-4, atol=1e-5 * max(1, size)
    )


@pytest.mark.parametrize("name", ["resnet18", "densenet121", *OURS])
def test_mean_of_local_logits_is_the_logit_for_images(name: str) -> None:
    scans = torch.randn(2, 1, 32, 40, generator=torch.Generator().manual_seed(1))
    check_law(build(resolve_model(GROUPS[name], (1, 32, 40), 3)), scans)


@pytest.mark.parametrize("name", ["resnet18", *OURS])
def test_mean_of_local_logits_is_the_logit_for_volumes(name: str) -> None:
    scans = torch.randn(2, 1, 28, 30, 28, generator=torch.Generator().manual_seed(1))
    check_law(build(resolve_model(GROUPS[name], (1, 28, 30, 28), 2)), scans)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("hidden", [[], [8]])
def test_every_head_learns(head: str, hidden: list[int]) -> None:
    """Brighter scans are of a later class; a few steps by the head's own likelihood find that out."""
    network = build(resolve_model(model(head=head, hidden=hidden, dropout=0.0), (1, 16, 16), 3), 2)
    targets = torch.arange(30) % 3
    scans = torch.randn(30, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.3
    scans += (targets - 1.0).reshape(-1, 1, 1, 1)
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network.logits(scans), targets).backward()
        optimiser.step()
    assert (network.logits(scans).argmax(1) == targets).float().mean() > 0.9


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_dropout_acts_in_training_only(hidden: tuple[int, ...]) -> None:
    network = Classifier(nn.Identity(), 8, 2, 0.5, hidden=hidden)
    scans = torch.randn(4, 8, 3, 3)
    assert not torch.equal(network.train()(scans), network.train()(scans))
    assert torch.equal(network.eval()(scans), network.eval()(scans))


def test_local_logits_against_a_loop_over_cells() -> None:
    network = Classifier(nn.Identity(), 5, 3, 0.0).eval()
    maps = torch.randn(2, 5, 4, 3, 2)
    with torch.inference_mode():
        local = network.explain(maps).local
        expected = network.head.weight @ maps[1, :, 3, 0, 1] + network.head.bias
    torch.testing.assert_close(local[1, :, 3, 0, 1], expected)


@pytest.mark.parametrize(("pooling", "hidden"), [("average", ()), ("gem", ()), ("flatten", (3,))])
def test_the_head_judges_in_float32_under_autocast(pooling: str, hidden: tuple[int, ...]) -> None:
    network = Classifier(nn.Conv2d(1, 4, 3), 4, 2, 0.0, pooling=pooling, cells=49, hidden=hidden).eval()
    scans = torch.randn(2, 1, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        assert network.features(scans).dtype == torch.bfloat16
        assert network(scans).dtype == torch.float32
