from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from scanlens.errors import ScanlensError
from scanlens.explanation import maps
from scanlens.explanation.gradcam import grad_cam
from scanlens.models.classifier import Classifier


def network_and_scans(dims: int, inplace: bool = False) -> tuple[Classifier, torch.Tensor]:
    convolution = torch.nn.Conv2d if dims == 2 else torch.nn.Conv3d
    torch.manual_seed(3)
    backbone = torch.nn.Sequential(
        convolution(2, 8, 3, stride=2), torch.nn.ReLU(inplace=inplace), convolution(8, 7, 3, stride=2)
    )
    network = Classifier(backbone, 7, 4, dropout=0.3).eval()
    return network, torch.randn(3, 2, *([21, 25, 19][:dims]))


def pooled_head(network: Classifier):
    return lambda features: network.head(features.flatten(2).mean(2))


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, atol=1e-6 * np.abs(theirs).max(), rtol=1e-4)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("inplace", [False, True])
def test_the_analytic_form_equals_the_gradient_form(dims: int, inplace: bool) -> None:
    network, scans = network_and_scans(dims, inplace)
    with torch.no_grad():
        features, local = network.features(scans), network.local_logits(scans)
    by_gradient = grad_cam(features, pooled_head(network)).numpy()
    assert (by_gradient > 0).any(axis=(0, *range(2, dims + 2))).all(), (
        "each class should have something to compare"
    )
    close(maps.grad_cam(local.numpy(), network.head.bias.detach().numpy()), by_gradient)


@pytest.mark.parametrize("dims", [2, 3])
def test_it_equals_captum(dims: int) -> None:
    network, scans = network_and_scans(dims)
    with torch.no_grad():
        local = network.local_logits(scans).numpy()
    ours = maps.grad_cam(local, network.head.bias.detach().numpy())
    captum = LayerGradCam(network, network.backbone)
    for target in range(4):
        theirs = captum.attribute(scans, target=target, relu_attributions=True).detach().numpy()[:, 0]
        close(ours[:, target], theirs)


def test_it_equals_pytorch_grad_cam_before_its_rescaling() -> None:
    pytorch_grad_cam = pytest.importorskip(
        "pytorch_grad_cam", reason="pip install --no-deps grad-cam ttach: it pulls an OpenCV with windows"
    )
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network, scans = network_and_scans(2)
    with torch.no_grad():
        local = network.local_logits(scans).numpy()
    ours = maps.grad_cam(local, network.head.bias.detach().numpy())
    with pytorch_grad_cam.GradCAM(network, [network.backbone]) as peer:
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
