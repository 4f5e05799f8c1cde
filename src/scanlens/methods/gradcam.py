"""Class activation maps: one forward pass, gradients through what follows the target layer only.

Each method weights the features of a target layer by the logit's gradient there and sums over the features:

- ``grad_cam``: by the mean gradient over cells (Selvaraju et al. 2017, "Grad-CAM: visual explanations from
  deep networks via gradient-based localization").
- ``hires_cam``: by the gradient at each cell (Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM for
  faithful explanations of convolutional neural networks").
- ``grad_cam_plus_plus``: by the positive gradients' mean weighted with second and third derivatives
  (Chattopadhay et al. 2018, "Grad-CAM++: improved visual explanations for deep convolutional networks").
- ``layer_cam``: by the positive gradient at each cell (Jiang et al. 2021, "LayerCAM: exploring hierarchical
  class activation maps for localization").

The positive part is kept and nothing is rescaled: numbers of two patients can be compared. Of the backbone's
output under average pooling the gradient is the same at every cell, so it is a row of weights a class and
all classes cost one matrix product; under a linear head these weights are the head's, and nothing is
differentiated at all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scanlens.errors import ScanlensError, SettingsError
from scanlens.methods.target import check_cells, check_features, full_precision, say_one_cell, split
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Ensemble, Network

EPSILON = 1e-6
"""In Grad-CAM++'s quotient, as in pytorch-grad-cam. It isn't small beside squared gradients of a large grid,
so these maps depend on it; without it they would be another library's."""


def _grad_cam(gradient: Tensor, features: Tensor) -> Tensor:
    return gradient.mean(-1, keepdim=True)


def _hires_cam(gradient: Tensor, features: Tensor) -> Tensor:
    return gradient


def _grad_cam_plus_plus(gradient: Tensor, features: Tensor) -> Tensor:
    square = gradient**2
    total = features.sum(-1, keepdim=True)[:, None]
    share = square / (2 * square + total * square * gradient + EPSILON)
    positive = torch.where(gradient > 0, gradient * share, 0)
    # The mean times cells: a gradient that is the same everywhere comes with one cell.
    return positive.mean(-1, keepdim=True) * features.shape[-1]


def _layer_cam(gradient: Tensor, features: Tensor) -> Tensor:
    return gradient.relu()


_WEIGHTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "grad_cam": _grad_cam,
    "hires_cam": _hires_cam,
    "grad_cam_plus_plus": _grad_cam_plus_plus,
    "layer_cam": _layer_cam,
}
"""Weight of each feature, ``(batch, class, feature, cell or 1)``, from the logits' gradient of that shape
(or one scan for all) and the features ``(batch, feature, cell)``."""
CAM_METHODS = tuple(_WEIGHTS)


def class_maps(
    network: Network,
    scans: Tensor,
    method: str = "grad_cam",
    layer: str | None = None,
    classes: Sequence[int] | None = None,
) -> Tensor:
    """Maps of all classes by one of :data:`CAM_METHODS`.

    Args:
        network: In evaluation mode. Of an ensemble the members' maps are averaged before the positive part is
            kept: its logit is the mean of theirs, so this is what each cell contributes to it.
        scans: Standardised, ``(batch, channel, *spatial)``.
        method: One of :data:`CAM_METHODS`.
        layer: Target layer, one of :func:`scanlens.methods.target.target_layers`; None for the backbone's
            output. An ensemble's members share the name.
        classes: Numbers of the classes wanted, in this order; None for all.

    Returns:
        float32 ``(batch, class, *grid)``, >= 0, never rescaled; ``grad_cam`` and ``hires_cam`` in units of
        the logit.

    Raises:
        SettingsError: On an unknown method or layer, a class that is not there, or a network without
            feature maps; the message offers what there is.
        ScanlensError: Features or logits are not finite.
    """
    if method not in _WEIGHTS:
        raise SettingsError(f"There is no map method {method!r}.", f"Choices: {', '.join(CAM_METHODS)}.")
    if network.training:
        raise ValueError(
            "expected a network in evaluation mode: in training scans of a batch change each other"
        )
    members = network.networks() if isinstance(network, Ensemble) else [network]
    chosen = _chosen(classes, members[0].classes)
    with full_precision(scans):
        signed = [_signed(_float32(member), scans.float(), method, layer, chosen) for member in members]
        say_one_cell(tuple(signed[0].shape[2:]))
        return torch.stack(signed).mean(0).relu()


def class_numbers(wanted: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Numbers of classes that a person named.

    Args:
        wanted: Labels, or numbers from 0.
        labels: Of the network, in order.

    Raises:
        SettingsError: One is neither; the message lists what there is.
    """
    numbers = {
        **{str(number): number for number in range(len(labels))},
        **{n: i for i, n in enumerate(labels)},
    }
    for name in wanted:
        if name not in numbers:
            known = ", ".join(f"{number} {label}" for number, label in enumerate(labels))
            raise SettingsError(f"There is no class {name!r}.", f"Choose by number or label: {known}.")
    return [numbers[name] for name in wanted]


def _chosen(classes: Sequence[int] | None, count: int) -> list[int]:
    if classes is None:
        return list(range(count))
    for number in classes:
        if not 0 <= number < count:
            allowed = "only 0" if count == 1 else f"0 to {count - 1}"
            raise SettingsError(f"Class {number} is out of range.", f"The network's classes are {allowed}.")
    return list(classes)


def _float32(member: Classifier) -> Classifier:
    """The network itself, or a float32 copy of one held in bfloat16."""
    if all(weights.dtype == torch.float32 for weights in member.parameters()):
        return member
    return copy.deepcopy(member).float()


def _signed(member: Classifier, scans: Tensor, method: str, layer: str | None, classes: list[int]) -> Tensor:
    """Maps before the positive part is kept."""
    if member.pooling == "average" and layer in (None, "backbone"):
        return _by_weights(member, scans, method, classes)
    return _by_gradients(member, scans, method, layer, classes)


def _by_weights(member: Classifier, scans: Tensor, method: str, classes: list[int]) -> Tensor:
    """Of the backbone's output under average pooling: one row of weights a class."""
    check_cells(member)
    features = member.features(scans)
    check_features(features, scans, "backbone")
    flat = features.flatten(2)
    gradient = _pooled_gradient(member, flat.mean(2), classes)[..., None] / flat.shape[2]
    return _contract(_WEIGHTS[method](gradient, flat), flat).unflatten(2, features.shape[2:])


def _pooled_gradient(member: Classifier, pooled: Tensor, classes: list[int]) -> Tensor:
    """Derivative of the logits by the pooled features, ``(batch or 1, class, feature)``."""
    if not member.hidden and member.kind.linear:
        return member.head.weight[None, classes]
    with torch.enable_grad():
        leaf = pooled.detach().requires_grad_()
        logits = member.to_logits(member.classify(leaf))
        return torch.stack(_gradients(logits, leaf, classes), 1)


def _by_gradients(
    member: Classifier, scans: Tensor, method: str, layer: str | None, classes: list[int]
) -> Tensor:
    """Of any layer: what follows it is differentiated once a class."""
    parts = split(member, scans, layer)
    features = parts.read(parts.features.detach())
    flat, maps = features.flatten(2), []
    for number in classes:
        (gradient,) = _gradients(parts.logits, parts.features, [number], parts.layer)
        weights = _WEIGHTS[method](parts.read(gradient).flatten(2)[:, None], flat)
        maps.append(_contract(weights, flat))
    return torch.cat(maps, 1).unflatten(2, features.shape[2:])


def _gradients(logits: Tensor, leaf: Tensor, classes: list[int], layer: str = "backbone") -> list[Tensor]:
    """Of one logit after another; of a scan its own, since no scan depends on another."""
    if not torch.isfinite(logits).all():
        raise ScanlensError("The network's logits are not finite, so there is no map.", "Train it again.")
    found = []
    with torch.enable_grad():
        for number in classes:
            score = logits[:, number].sum()
            gradient = torch.autograd.grad(score, leaf, retain_graph=True, allow_unused=True)[0]
            if gradient is None:
                raise SettingsError(f"The logits do not depend on layer {layer}.", "Choose another layer.")
            found.append(gradient)
    return found


def _contract(weights: Tensor, features: Tensor) -> Tensor:
    """Sum over features ``(batch, class, cell)`` of weights as :data:`_WEIGHTS` gives them."""
    if weights.shape[-1] == 1:
        return torch.matmul(weights[..., 0], features)
    return (weights * features[:, None]).sum(2)
