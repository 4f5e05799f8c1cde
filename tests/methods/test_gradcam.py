"""Class activation maps: two paths that agree with each other, with captum and with formulas written out."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from scanlens.errors import ScanlensError, SettingsError
from scanlens.maps import probability as maps
from scanlens.methods.gradcam import CAM_METHODS, class_maps, class_numbers
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Ensemble
from scanlens.models.heads import HEADS

HIDDEN = [(), (6,), (8, 6)]
LAST = "2"
"""The backbone's last module: the same features as its output, by the path of any layer."""


class Logits(nn.Module):
    """A classifier whose ``forward`` gives logits, as peers expect it."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, scans: Tensor) -> Tensor:
        return self.network.logits(scans)


def network_and_scans(
    dims: int, head: str = "softmax", hidden: tuple[int, ...] = (), pooling: str = "average", seed: int = 3
) -> tuple[Classifier, Tensor]:
    convolution = nn.Conv2d if dims == 2 else nn.Conv3d
    torch.manual_seed(seed)
    backbone = nn.Sequential(
        convolution(2, 8, 3, stride=2), nn.ReLU(inplace=True), convolution(8, 7, 3, stride=2)
    )
    cells = 20 if dims == 2 else 80
    network = Classifier(
        backbone, 7, 4, 0.3, head=head, pooling=pooling, cells=cells, hidden=hidden, activation="tanh"
    )
    return network.eval(), torch.randn(3, 2, *([21, 25, 19][:dims]))


def close(ours: Tensor | np.ndarray, theirs: Tensor | np.ndarray) -> None:
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(
        np.asarray(ours), theirs, atol=2e-6 * max(1e-3, np.abs(theirs).max()), rtol=1e-4
    )


def written_out(method: str, features: Tensor, gradient: Tensor) -> Tensor:
    """The papers' formulas for one class, ``(batch, feature, *grid)`` each, cell by cell."""
    cells = tuple(range(2, features.ndim))
    if method == "grad_cam":
        weights = gradient.mean(cells, keepdim=True)
    elif method == "hires_cam":
        weights = gradient
    elif method == "layer_cam":
        weights = gradient.clamp(min=0)
    else:
        alpha = gradient**2 / (2 * gradient**2 + features.sum(cells, keepdim=True) * gradient**3 + 1e-6)
        weights = (alpha * gradient.clamp(min=0)).sum(cells, keepdim=True)
    return (weights * features).sum(1).clamp(min=0)


@pytest.mark.parametrize(("dims", "head", "hidden"), list(itertools.product((2, 3), HEADS, HIDDEN)))
def test_the_analytic_form_equals_the_gradient_form(dims: int, head: str, hidden: tuple[int, ...]) -> None:
    network, scans = network_and_scans(dims, head, hidden)
    for method in CAM_METHODS:
        ours = class_maps(network, scans, method)
        assert (ours > 0).any(), "there should be something to compare"
        close(ours, class_maps(network, scans, method, LAST))
    with torch.no_grad():
        by_stage = maps.grad_cam(network.explain(scans).cams.numpy())
    close(class_maps(network, scans), by_stage)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("pooling", ["gem", "flatten"])
def test_the_stage_s_raw_maps_are_grad_cam_whatever_the_pooling(
    pooling: str, hidden: tuple[int, ...]
) -> None:
    network, scans = network_and_scans(2, hidden=hidden, pooling=pooling)
    with torch.no_grad():
        by_stage = maps.grad_cam(network.explain(scans).cams.numpy())
    assert (by_stage > 0).any()
    close(class_maps(network, scans), by_stage)
    assert not np.allclose(class_maps(network, scans, "hires_cam"), by_stage, rtol=1e-3)


@pytest.mark.parametrize("method", CAM_METHODS)
@pytest.mark.parametrize("pooling", ["average", "flatten"])
@pytest.mark.parametrize("layer", [None, "1", "0"])
@pytest.mark.parametrize("dims", [2, 3])
def test_it_equals_the_formula_written_out(method: str, pooling: str, layer: str | None, dims: int) -> None:
    network, scans = network_and_scans(dims, hidden=(6,), pooling=pooling)
    plain = copy.deepcopy(network)
    plain.backbone[1].inplace = False
    until = {"0": 1, "1": 2, None: 3}[layer]
    features = plain.backbone[:until](scans).detach().requires_grad_()
    logits = plain.classify(plain.pool(plain.backbone[until:](features)))
    expected = [
        written_out(
            method, features, torch.autograd.grad(logits[:, number].sum(), features, retain_graph=True)[0]
        )
        for number in range(4)
    ]
    close(class_maps(network, scans, method, layer), torch.stack(expected, 1).detach())


@pytest.mark.parametrize(("dims", "head"), [(2, "softmax"), (3, "softmax"), (2, "ordinal")])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_it_equals_captum(dims: int, head: str, hidden: tuple[int, ...]) -> None:
    network, scans = network_and_scans(dims, head, hidden)
    ours = class_maps(network, scans)
    captum = LayerGradCam(Logits(network), network.backbone)
    for target in range(4):
        theirs = captum.attribute(scans, target=target, relu_attributions=True).detach()[:, 0]
        close(ours[:, target], theirs)


def test_every_method_says_something_else() -> None:
    network, scans = network_and_scans(2, pooling="flatten")
    found = [class_maps(network, scans, method) for method in CAM_METHODS]
    for one, other in itertools.combinations(found, 2):
        assert not torch.allclose(one, other)


def test_nothing_is_differentiated_under_a_linear_head(monkeypatch: pytest.MonkeyPatch) -> None:
    network, scans = network_and_scans(2)
    expected = class_maps(network, scans)
    calls = []
    monkeypatch.setattr(torch.autograd, "grad", lambda *values, **named: calls.append(values))
    close(class_maps(network, scans), expected)
    assert not calls


@pytest.mark.parametrize("layer", [None, "0"])
def test_one_pass_of_the_backbone_serves_all_classes_and_leaves_no_trace(layer: str | None) -> None:
    network, scans = network_and_scans(2)
    passes = []
    handle = network.backbone.register_forward_hook(lambda *values: passes.append(1))
    before = {name: weights.clone() for name, weights in network.state_dict().items()}
    found = class_maps(network, scans, layer=layer)
    handle.remove()
    assert len(passes) == 1
    assert found.shape[1] == 4
    assert not found.requires_grad
    assert all(weights.grad is None for weights in network.parameters())
    assert all(torch.equal(weights, before[name]) for name, weights in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("layer", [None, "0"])
def test_chosen_classes_are_those_of_all(layer: str | None) -> None:
    network, scans = network_and_scans(2, hidden=(6,))
    every = class_maps(network, scans, "layer_cam", layer)
    close(class_maps(network, scans, "layer_cam", layer, classes=[3, 1]), every[:, [3, 1]])


@pytest.mark.parametrize("layer", [None, "1"])
def test_a_scan_does_not_depend_on_its_batch(layer: str | None) -> None:
    network, scans = network_and_scans(3, hidden=(6,))
    every = class_maps(network, scans, "grad_cam_plus_plus", layer)
    close(class_maps(network, scans[1:2], "grad_cam_plus_plus", layer), every[1:2])


@pytest.mark.parametrize("layer", [None, "1"])
def test_it_works_inside_inference_mode_and_autocast(layer: str | None) -> None:
    network, scans = network_and_scans(2, hidden=(6,))
    expected = class_maps(network, scans, layer=layer)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = class_maps(network, scans.clone(), layer=layer)
    assert found.dtype == torch.float32
    close(found, expected)


def test_a_network_held_in_bfloat16_gives_float32_maps() -> None:
    network, scans = network_and_scans(2)
    coarse = copy.deepcopy(network).bfloat16()
    found = class_maps(coarse, scans.bfloat16())
    assert found.dtype == torch.float32
    close(found, class_maps(copy.deepcopy(coarse).float(), scans.bfloat16().float()))
    assert next(coarse.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("layer", [None, "1"])
def test_an_ensemble_s_maps_are_those_of_its_mean_logit(layer: str | None) -> None:
    members = [network_and_scans(2, seed=seed)[0] for seed in (3, 4)]
    scans = network_and_scans(2)[1]
    ensemble = Ensemble(members).eval()
    found = class_maps(ensemble, scans, layer=layer)
    apart = [class_maps(member, scans, layer=layer) for member in members]
    assert not torch.allclose(found, torch.stack(apart).mean(0)), "the positive part is kept of the mean"
    if layer is None:
        with torch.no_grad():
            close(found, maps.grad_cam(ensemble.explain(scans).cams.numpy()))


def test_a_class_that_is_not_there_is_refused() -> None:
    network, scans = network_and_scans(2)
    with pytest.raises(SettingsError, match=r"Class 4 is out of range.* 0 to 3"):
        class_maps(network, scans, classes=[0, 4])
    with pytest.raises(SettingsError, match="Class -1"):
        class_maps(network, scans, classes=[-1])


def test_classes_go_by_number_or_label() -> None:
    labels = ["normal", "nodule", "mass"]
    assert class_numbers(["2", "normal"], labels) == [2, 0]
    with pytest.raises(SettingsError, match=r"no class 'masss'.*0 normal, 1 nodule, 2 mass"):
        class_numbers(["masss"], labels)
    with pytest.raises(SettingsError, match="no class '3'"):
        class_numbers(["3"], labels)


def test_an_unknown_method_names_the_known_ones() -> None:
    network, scans = network_and_scans(2)
    with pytest.raises(SettingsError, match="grad_cam, hires_cam, grad_cam_plus_plus, layer_cam"):
        class_maps(network, scans, "score_cam")


def test_a_network_in_training_is_refused() -> None:
    network, scans = network_and_scans(2)
    with pytest.raises(ValueError, match="evaluation mode"):
        class_maps(network.train(), scans)


def test_logits_that_are_not_finite_are_refused() -> None:
    network, scans = network_and_scans(2, hidden=(6,))
    with torch.no_grad():
        network.head.bias[1] = torch.inf
    with pytest.raises(ScanlensError, match="logits are not finite"):
        class_maps(network, scans, layer="1")


def test_a_single_place_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    network = Classifier(nn.Conv2d(1, 5, 8), 5, 3, 0.0).eval()
    for _ in range(2):
        assert class_maps(network, torch.randn(2, 1, 8, 8)).shape == (2, 3, 1, 1)
    said = capsys.readouterr().err
    assert said.count("says nothing about where") == 1
