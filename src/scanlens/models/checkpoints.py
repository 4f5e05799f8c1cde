"""Names and shapes of other people's checkpoints, made those of a network here.

==============================  =======================================================================
in the file                     here
==============================  =======================================================================
``module.``, ``model.``, ...    dropped: wrappers of DataParallel, Lightning and the like
``conv1.weight``                ``backbone.conv1.weight`` (timm and torchvision share most names)
``backbone.4.0.conv1.weight``   ``backbone.layer1.0.conv1.weight``: RadImageNet keeps torchvision's networks
                                as a plain sequence; the numbers count torchvision's children
``conv1``, ``bn1``, ``layer1``  ``backbone.stem.0``, ``.stem.1``, ``.layers.0`` of a MONAI ResNet: MedicalNet
``features.norm5``              ``backbone.layers.norm5`` of a MONAI DenseNet
``denselayer1.norm.1.weight``   ``denselayer1.norm1.weight``: torchvision's DenseNet files of 2017
==============================  =======================================================================

Two shapes may differ and are made to fit, both in the first convolution: its input channels (by timm: RGB
weights are summed for grey scans, repeated for more channels) and its kernel, where the stem was shrunk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from timm.models import adapt_input_conv
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from scanlens.errors import SettingsError

_WRAPPERS = ("module.", "model.", "network.", "encoder.", "_orig_mod.")
_OLD_DENSE = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.")
_MONAI_RESNET: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"^conv1\."), "stem.0."),
    (re.compile(r"^bn1\."), "stem.1."),
    (re.compile(r"^layer([1-4])\."), lambda found: f"layers.{int(found[1]) - 1}."),
)


@dataclass(frozen=True)
class Match:
    """What became of a checkpoint.

    Attributes:
        taken: The network's tensors that were loaded.
        missing: Tensors of the network's backbone that the file has not, or in another shape.
        unexpected: The file's tensors that fit nowhere.
        adapted: Tensors among ``taken`` whose shape was made to fit.
    """

    taken: list[str]
    missing: list[str]
    unexpected: list[str]
    adapted: list[str]


def torchvision_children(name: str) -> list[str]:
    """Children of torchvision's network ``name`` by name, in order; none where it has no such network."""
    from torchvision import models

    if name not in models.list_models(module=models):
        return []
    # RadImageNet's Inception was made without the auxiliary classifier, which would shift the numbers.
    options = {"aux_logits": False, "init_weights": False} if name in ("inception_v3", "googlenet") else {}
    with torch.device("meta"):
        network = models.get_model(name, weights=None, **options)
    return [child for child, _ in network.named_children()]


def own_names(name: str, children: Sequence[str]) -> Iterator[str]:
    """Names that a file's tensor may have in a classifier here, likeliest first.

    Args:
        name: In the file.
        children: From :func:`torchvision_children`.
    """
    unwrapped = [name]
    while wrapper := next((w for w in _WRAPPERS if unwrapped[0].startswith(w)), None):
        unwrapped.insert(0, unwrapped[0].removeprefix(wrapper))
    # The longer ones too, since a word may be the network's own: timm's VOLO keeps its blocks in "network".
    for bare in unwrapped:
        yield from _bare_names(bare, children)


def _bare_names(name: str, children: Sequence[str]) -> Iterator[str]:
    """Names of a tensor whose wrappers are dropped."""
    name = _OLD_DENSE.sub(r"\1\2.", name)
    yield name
    bare = name.removeprefix("backbone.")
    number, _, rest = bare.partition(".")
    if number.isdigit() and int(number) < len(children):
        bare = f"{children[int(number)]}.{rest}"
    yield f"backbone.{bare}"
    for pattern, here in _MONAI_RESNET:
        if pattern.match(bare):
            yield "backbone." + pattern.sub(here, bare)
    if bare.startswith("features."):
        yield "backbone.layers." + bare.removeprefix("features.")


def first_convolution(network: nn.Module) -> str | None:
    """Name of the weight of the first convolution, or None."""
    for name, module in network.named_modules():
        if isinstance(module, _ConvNd):
            return f"{name}.weight"
    return None


def _overlap(old: int, new: int) -> Tensor:
    """``(new, old)``: which share of each old tap lies within each new one when both span the same width."""
    edges = torch.linspace(0, old, new + 1, dtype=torch.float64)
    taps = torch.arange(old, dtype=torch.float64)
    ends = torch.minimum(edges[1:, None], taps + 1)
    starts = torch.maximum(edges[:-1, None], taps)
    return (ends - starts).clamp(min=0)


def resample_kernel(weight: Tensor, size: Sequence[int]) -> Tensor:
    """A convolution's kernel on another grid; each filter keeps its sum, so an even patch its response.

    Args:
        weight: ``(out, in, *old)``.
        size: The new spatial size.
    """
    resampled = weight.double()
    for axis, (old, new) in enumerate(zip(weight.shape[2:], size, strict=True), 2):
        resampled = torch.tensordot(resampled, _overlap(old, new), ([axis], [1])).movedim(-1, axis)
    return resampled.to(weight.dtype)


def fit_convolution(weight: Tensor, shape: torch.Size) -> Tensor | None:
    """First-convolution weights of a file in the shape ``(out, in, *kernel)`` that is needed, or None."""
    if weight.ndim != len(shape) or weight.ndim < 4 or weight.shape[0] != shape[0]:
        return None
    if weight.shape[1] != shape[1]:
        kernel = weight.shape[2:]
        # timm knows images; the axes of a kernel are alike to it.
        flat = weight.flatten(2)[..., None]
        try:
            weight = (
                adapt_input_conv(shape[1], flat, base_chans=weight.shape[1]).squeeze(-1).unflatten(2, kernel)
            )
        except NotImplementedError:
            return None
    return resample_kernel(weight, shape[2:]) if weight.shape[2:] != shape[2:] else weight


def _two_networks(first: str, second: str) -> SettingsError:
    """What is said of two tensors for one place: the beginnings of their names tell their networks apart."""
    one, two = first.split("."), second.split(".")
    while one and two and one[-1] == two[-1]:
        one, two = one[:-1], two[:-1]
    choices = [".".join(parts) for parts in (one, two) if parts]
    return SettingsError(
        f"The weights file holds two networks: {first} and {second} fit the same place.",
        f"Choose one: transfer.weights={' | '.join(choices)}",
    )


def load_checkpoint(network: nn.Module, state: dict[str, Tensor], name: str = "") -> Match:
    """Load the tensors that fit by name and shape; the rest of the network keeps its weights.

    A bias that the file leaves out beside its weight is zero: so convolutions without bias are the same
    function here.

    Args:
        network: A classifier; receives the weights.
        state: From :func:`scanlens.models.weights.read_weights`.
        name: Registry name of the network.

    Raises:
        SettingsError: Where two tensors of the file fit one place, as where it holds two networks.
    """
    own = network.state_dict()
    children = torchvision_children(name)
    first = first_convolution(network)
    taken: dict[str, Tensor] = {}
    sources: dict[str, str] = {}
    adapted, unexpected = [], []
    for raw, tensor in state.items():
        named = [candidate for candidate in own_names(raw, children) if candidate in own]
        if "displacement" in named:
            # Where another training came to look; this one's is measured when it is over.
            continue
        for candidate in named:
            if own[candidate].shape == tensor.shape:
                if candidate in sources and not torch.equal(taken[candidate], tensor):
                    raise _two_networks(sources[candidate], raw)
                sources[candidate] = raw
                taken[candidate] = tensor
                break
            made = fit_convolution(tensor, own[candidate].shape) if candidate == first else None
            if made is not None:
                taken[candidate] = made
                adapted.append(candidate)
                break
        else:
            unexpected.append(raw)
    for bias in [key for key in own if key.endswith(".bias") and key not in taken]:
        if bias.startswith("backbone.") and bias.removesuffix("bias") + "weight" in taken:
            taken[bias] = torch.zeros_like(own[bias])
            adapted.append(bias)
    network.load_state_dict(taken, strict=False)
    missing = [key for key in own if key.startswith("backbone.") and key not in taken]
    return Match(sorted(taken), missing, unexpected, sorted(adapted))
