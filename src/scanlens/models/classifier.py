"""The one shape every network takes here: spatial features, pooling, fully connected layers, a head.

With global average pooling and a linear head the head may be applied before or after the mean. So the
output of a scan *is* the mean of its local outputs, and probability maps need no gradient
(Zhou et al. 2016, "Learning deep features for discriminative localization").

For hidden layers and for flattening the same identity holds by another reading: the derivative of the outputs
with respect to the features at a cell, times these features, is what the cell contributes; what no cell
contributes (biases) is shared among all. The derivative of a few fully connected layers is written out here,
so maps of any head cost one forward pass, and can be exported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from scanlens.models.heads import HEADS
from scanlens.models.pooling import EXPONENT, LEAST_FEATURE, generalised_mean
from scanlens.models.refine import Guide, move, refine

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def _slope(activation: str, before: Tensor, after: Tensor) -> Tensor:
    """Derivative of an activation from its argument and value."""
    if activation == "tanh":
        return 1 - after**2
    if activation == "sigmoid":
        return after * (1 - after)
    return torch.where(before > 0, 1.0, 0.01 if activation == "leaky_relu" else 0.0)


class Evidence(NamedTuple):
    """What a network says of a batch of scans.

    Attributes:
        logits: ``(batch, class)``.
        local: Logits each cell argues for, ``(batch, class, *grid)``; for a linear head their mean over
            cells is ``logits``. Where the network has guides its grid is the last guide's
            (:mod:`scanlens.models.refine`).
        rest: For a linear head logits no cell argues for (biases), ``(batch, class)``: the local logits less
            these are what the cells add. For others the logits of that rest alone.
        cams: Grad-CAM of each class on the last feature map before its positive part is kept,
            ``(batch, class, *grid)`` (Selvaraju et al. 2017): features weighted by the logit's mean gradient.
    """

    logits: Tensor
    local: Tensor
    rest: Tensor
    cams: Tensor


# softplus of it is 2: steps below 1.39 would leave no score at which a middle class is the likeliest.
_STEP = 1.8546


class OrdinalLinear(nn.Module):
    """One weight vector and ordered biases: outputs ``(batch, output)`` that fall with the output.

    Cao, Mirjalili and Raschka 2020, "Rank consistent ordinal regression for neural networks" (CORAL); here
    the biases are ordered by construction.

    Args:
        features: Number of features in.
        outputs: Number of classes less one.
    """

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1, bias=False)
        self.first = nn.Parameter(torch.full((1,), outputs - 1.0))
        self.steps = nn.Parameter(torch.zeros(outputs - 1))
        self.out_features = outputs

    @property
    def weight(self) -> Tensor:
        """``(output, feature)``, every row the same."""
        return self.score.weight.expand(self.out_features, -1)

    @property
    def bias(self) -> Tensor:
        """``(output,)``, falling: each lies a positive step below the one before."""
        falls = torch.cumsum(nn.functional.softplus(self.steps + _STEP), 0)
        return torch.cat([self.first, self.first - falls])

    def forward(self, features: Tensor) -> Tensor:
        """Logits of "above class k"."""
        outputs: Tensor = self.score(features) + self.bias
        return outputs


class NumberLinear(nn.Module):
    """A linear layer that learns standardised numbers and gives them back in their own unit.

    So the same learning rate does for blood pressures and for shares.

    Args:
        features: Number of features in.
        outputs: Number of numbers.
        centre: Mean of the numbers in the training split.
        spread: Their standard deviation there.
    """

    def __init__(self, features: int, outputs: int, centre: float, spread: float) -> None:
        super().__init__()
        self.standardised = nn.Linear(features, outputs)
        self.centre = centre
        self.spread = spread

    @property
    def weight(self) -> Tensor:
        """``(output, feature)`` in the numbers' unit."""
        return self.standardised.weight * self.spread

    @property
    def bias(self) -> Tensor:
        """``(output,)`` in the numbers' unit."""
        return self.standardised.bias * self.spread + self.centre

    def forward(self, features: Tensor) -> Tensor:
        """Numbers ``(batch, output)``."""
        numbers: Tensor = self.standardised(features) * self.spread + self.centre
        return numbers


class Classifier(nn.Module):
    """A backbone with spatial output under pooling, optional hidden layers and a head.

    Args:
        backbone: Maps ``(batch, channel, *spatial)`` to ``(batch, feature, *grid)``.
        features: Number of features the backbone gives.
        classes: Number of labels.
        dropout: Probability of dropping an input of a fully connected layer during training.
        head: Key of :data:`scanlens.models.heads.HEADS`.
        pooling: ``average``, ``gem`` or ``flatten``. gem is the generalised mean, see
            :mod:`scanlens.models.pooling`.
        cells: Number of cells of the grid; used by ``flatten``.
        hidden: Widths of the layers between pooling and head.
        activation: Key of ``ACTIVATIONS``.
        centre: Mean of the numbers to predict; for head ``regression`` and one class.
        spread: Their standard deviation.
        guides: Layers of the backbone that say where evidence was seen, last first; without any, evidence
            stays where the last feature map has it.
        dims: Axes of the grid.
    """

    def __init__(
        self,
        backbone: nn.Module,
        features: int,
        classes: int,
        dropout: float,
        head: str = "softmax",
        pooling: str = "average",
        cells: int = 1,
        hidden: tuple[int, ...] = (),
        activation: str = "relu",
        centre: float = 0.0,
        spread: float = 1.0,
        guides: tuple[Guide, ...] = (),
        dims: int = 2,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.guides = guides
        self.dropout = nn.Dropout(dropout)
        self.kind = HEADS[head]
        self.classes = classes
        self.pooling = pooling
        self.activation = activation
        inputs = features * cells if pooling == "flatten" else features
        self.hidden = nn.ModuleList()
        for width in hidden:
            self.hidden.append(nn.Linear(inputs, width))
            inputs = width
        outputs = self.kind.outputs(classes)
        self.head: OrdinalLinear | NumberLinear | nn.Linear
        if head == "ordinal":
            self.head = OrdinalLinear(inputs, outputs)
        elif self.kind.is_number and classes == 1:
            self.head = NumberLinear(inputs, outputs, centre, spread)
        else:
            self.head = nn.Linear(inputs, outputs)
        self.act = ACTIVATIONS[activation]()
        # From a cell to what it speaks of, by output; measured after training.
        self.displacement: Tensor
        self.register_buffer("displacement", torch.zeros(outputs, dims))

    def features(self, scans: Tensor) -> Tensor:
        """Feature maps ``(batch, feature, *grid)`` of standardised scans."""
        maps: Tensor = self.backbone(scans)
        return maps

    def features_and_guides(self, scans: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Feature maps, and those of each guide on the way to them, ``(batch, feature, *grid)``."""
        passed: dict[str, Tensor] = {}

        def note(name: str) -> Callable[[nn.Module, object, Tensor], None]:
            def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
                # A copy: an in-place activation may follow.
                passed[name] = output.clone()

            return hook

        names = [guide.name for guide in self.guides]
        handles = [self.backbone.get_submodule(name).register_forward_hook(note(name)) for name in names]
        try:
            maps = self.features(scans)
        finally:
            for handle in handles:
                handle.remove()
        return maps, [passed[name] for name in names]

    def pool(self, maps: Tensor) -> Tensor:
        """Feature maps to the input of the fully connected layers, ``(batch, pooled)``, float32."""
        if self.pooling == "gem":
            return generalised_mean(maps)
        flat = maps.float().flatten(2)
        if self.pooling == "flatten":
            return flat.flatten(1)
        return flat.mean(2)

    def classify(self, pooled: Tensor) -> Tensor:
        """Outputs ``(batch, output)`` of pooled features: hidden layers and head."""
        for layer in self.hidden:
            pooled = self.act(layer(self.dropout(pooled)))
        outputs: Tensor = self.head(self.dropout(pooled))
        return outputs

    def forward(self, scans: Tensor) -> Tensor:
        """Outputs ``(batch, output)`` of standardised scans ``(batch, channel, *spatial)``."""
        maps = self.features(scans)
        # A small lesion moves the mean by less than bfloat16 can tell apart: pool and judge in float32.
        with torch.autocast(maps.device.type, enabled=False):
            return self.classify(self.pool(maps))

    def to_logits(self, outputs: Tensor) -> Tensor:
        """Logits ``(batch, class, ...)`` of outputs ``(batch, output, ...)``."""
        return self.kind.to_logits(outputs, self.classes)

    def evidence(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What each cell contributes to the outputs, what none does, and the outputs' Grad-CAM.

        Args:
            maps: Feature maps ``(batch, feature, *grid)``; dropout must be off.

        Returns:
            Contributions ``(batch, output, *grid)``, the outputs' derivative by the features at a cell times
            these features (HiResCAM, Draelos and Carin 2020); the rest ``(batch, output)``: the contributions
            of all cells and the rest sum to the outputs; and Grad-CAM ``(batch, output, *grid)``, which
            weights the features by the mean derivative instead: with average pooling it is the same.
        """
        # Not len(maps): an export would keep its number of scans for ever.
        flat = maps.float().flatten(2)
        pooled = self.pool(maps)
        jacobian, outputs = self._jacobian(pooled)
        if self.pooling == "flatten":
            jacobian = jacobian.unflatten(2, flat.shape[1:])
            contributions = (jacobian * flat[:, None]).sum(2)
            cams = torch.matmul(jacobian.mean(3), flat)
        elif self.pooling == "gem":
            slopes = self._slopes_of_gem(flat, pooled)
            contributions = torch.matmul(jacobian, slopes * flat)
            cams = torch.matmul(jacobian * slopes.mean(2)[:, None], flat)
        else:
            contributions = cams = torch.matmul(jacobian, flat) / flat.shape[2]
        if self.hidden or self.pooling == "gem":
            rest = outputs - contributions.sum(2)
        else:
            rest = self.head.bias.expand(maps.shape[0], -1).clone()
        grid = maps.shape[2:]
        return contributions.unflatten(2, grid), rest, cams.unflatten(2, grid)

    def _slopes_of_gem(self, flat: Tensor, pooled: Tensor) -> Tensor:
        """Derivative of the generalised mean by the features ``(batch, feature, cell)``, of that shape."""
        relative = flat.clamp(min=LEAST_FEATURE) / pooled[:, :, None]
        return torch.where(flat < LEAST_FEATURE, 0.0, relative.pow(EXPONENT - 1) / flat.shape[2])

    def _jacobian(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs' derivative by pooled features ``(batch or 1, output, pooled)``, and the outputs."""
        value, slopes = pooled, []
        for layer in self.hidden:
            before = layer(value)
            value = self.act(before)
            slopes.append(_slope(self.activation, before, value))
        jacobian = self.head.weight[None]
        for layer, slope in zip(reversed(self.hidden), reversed(slopes), strict=True):
            jacobian = torch.matmul(jacobian * slope[:, None], cast(Tensor, layer.weight))
        return jacobian, self.head(value)

    def explain(self, scans: Tensor) -> Evidence:
        """Logits of the scans and of every cell, and Grad-CAM; dropout must be off."""
        maps, passed = self.features_and_guides(scans)
        contributions, rest, cams = self.evidence(maps)
        grid = contributions.shape[2:]
        outputs = contributions.flatten(2).sum(2) + rest
        refined = move(contributions, self.displacement) if self.guides else contributions
        for guide, features in zip(self.guides, passed, strict=True):
            refined = refine(refined, features, guide.reach)
        local = refined * refined.shape[2:].numel() + rest.reshape(*rest.shape, *[1] * len(grid))
        if self.kind.slope is not None:
            # One score stands behind all outputs, so every output has the same map.
            slope = self.kind.slope(outputs, self.classes)
            cams = cams[:, :1] * slope.reshape(*slope.shape, *[1] * len(grid))
        return Evidence(self.to_logits(outputs), self.to_logits(local), self.to_logits(rest), cams)

    def logits(self, scans: Tensor) -> Tensor:
        """Logits ``(batch, class)``."""
        return self.to_logits(self(scans))
