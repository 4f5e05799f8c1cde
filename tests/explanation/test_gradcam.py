from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from scanlens.errors import ScanlensError
from scanlens.explanation import maps
from scanlens.explanation.gradcam import grad_cam
from scanlens.models.classifier import Classifier
from scanlens.models.heads import HEADS

HIDDEN = [(), (6,), (8, 6)]


class Logits(torch.nn.Module):
    """A classifier whose ``forward`` gives logits, as peers expect it."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, scans: torch.Tensor) -> torch.Tensor:
        return self.network.logits(scans)


def network_and_scans(
    dims: int, head: str = "softmax", hidden: tuple[int, ...] = (), pooling: str = "average"
) -> tuple[Classifier, torch.Tensor]:
    convolution = torch.nn.Conv2d if dims == 2 else torch.nn.Conv3d
    torch.manual_seed(3)
    backbone = torch.nn.Sequential(
        convolution(2, 8, 3, stride=2), torch.nn.ReLU(inplace=True), convolution(8, 7, 3, stride=2)
    )
    places = 20 if dims == 2 else 80
    network = Classifier(
        backbone, 7, 4, 0.3, head=head, pooling=pooling, places=places, hidden=hidden, activation="tanh"
    )
    return network.eval(), torch.randn(3, 2, *([21, 25, 19][:dims]))


def analytic(network: Classifier, scans: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return maps.grad_cam(network.explain(scans).contributions.numpy())


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, atol=2e-6 * max(1e-3, np.abs(theirs).max()), rtol=1e-4)


@pytest.mark.parametrize(("dims", "head", "hidden"), list(itertools.product((2, 3), HEADS, HIDDEN)))
def test_the_analytic_form_equals_the_gradient_form(dims: int, head: str, hidden: tuple[int, ...]) -> None:
    network, scans = network_and_scans(dims, head, hidden)
    with torch.no_grad():
        features = network.features(scans)
    by_gradient = grad_cam(features, lambda own: network.to_logits(network.classify(network.pool(own))))
    assert (by_gradient.numpy() > 0).any(), "there should be something to compare"
    close(analytic(network, scans), by_gradient.numpy())


@pytest.mark.parametrize(("dims", "head"), [(2, "softmax"), (3, "softmax"), (2, "ordinal")])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_it_equals_captum(dims: int, head: str, hidden: tuple[int, ...]) -> None:
    network, scans = network_and_scans(dims, head, hidden)
    ours = analytic(network, scans)
    captum = LayerGradCam(Logits(network), network.backbone)
    for target in range(4):
        theirs = captum.attribute(scans, target=target, relu_attributions=True).detach().numpy()[:, 0]
        close(ours[:, target], theirs)


@pytest.mark.parametrize(("kind", "pooling"), [("GradCAM", "average"), ("HiResCAM", "flatten")])
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("head", ["softmax", "ordinal"])
def test_it_equals_pytorch_grad_cam_before_its_rescaling(
    kind: str, pooling: str, hidden: tuple[int, ...], head: str
) -> None:
    """Where pooling is flattening, gradient times feature at each place is that library's HiResCAM."""
    pytorch_grad_cam = pytest.importorskip(
        "pytorch_grad_cam", reason="pip install --no-deps grad-cam ttach: it pulls an OpenCV with windows"
    )
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network, scans = network_and_scans(2, head, hidden, pooling)
    ours = analytic(network, scans)
    with getattr(pytorch_grad_cam, kind)(Logits(network), [network.backbone]) as peer:
        for target in range(4):
            targets = [ClassifierOutputTarget(target)] * len(scans)
            peer(scans, targets)
            activations = peer.activations_and_grads.activations[0].detach().numpy()
            gradients = peer.activations_and_grads.gradients[0].detach().numpy()
            raw = peer.get_cam_image(scans, network.backbone, targets, activations, gradients, False)
            close(ours[:, target], np.maximum(raw, 0))


def test_a_head_with_layers_of_its_own_equals_captum() -> None:
    """The case that has no analytic form; its first layer works in place."""
    network, scans = network_and_scans(2)
    torch.manual_seed(4)
    tail = torch.nn.Sequential(
        torch.nn.ReLU(inplace=True),
        torch.nn.Flatten(),
        torch.nn.LazyLinear(9),
        torch.nn.Tanh(),
        torch.nn.Linear(9, 3),
    )
    with torch.no_grad():
        features = network.features(scans)
        tail(features.clone())
    whole = torch.nn.Sequential(network.backbone, torch.nn.Sequential(torch.nn.ReLU(), *tail[1:]))
    ours = grad_cam(features, tail).numpy()
    for target in range(3):
        theirs = LayerGradCam(whole, whole[0]).attribute(scans, target=target, relu_attributions=True)
        close(ours[:, target], theirs.detach().numpy()[:, 0])


def test_features_without_places_are_refused() -> None:
    with pytest.raises(ScanlensError, match="keeps no places"):
        grad_cam(torch.zeros(2, 5), torch.nn.Linear(5, 2))
