"""What ``scanlens explain`` can show, and which options each method heeds. Light: ``--help`` reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from scanlens.errors import SettingsError


@dataclass(frozen=True)
class Method:
    """One way to look at a scan through a network.

    Attributes:
        what: One line for ``--help``.
        unit: Of the values.
        options: Names of :class:`Options` that it heeds.
        kind: ``class``: a map for each class. ``scan``: one view a scan. ``network``: one view a run, of no
            scan.
    """

    what: str
    unit: str
    options: tuple[str, ...]
    kind: Literal["class", "scan", "network"] = "class"


_CAM = ("layer", "scale")
METHODS: dict[str, Method] = {
    "probability": Method(
        "the calibrated probability that each cell alone argues for, and its suspicious regions (default)",
        "probability", ("threshold",),
    ),
    "grad_cam": Method("Grad-CAM of a layer", "logit", _CAM),
    "hires_cam": Method("HiResCAM: gradient times activation, cell by cell", "logit", _CAM),
    "grad_cam_plus_plus": Method("Grad-CAM++: for several lesions of one class", "arbitrary unit", _CAM),
    "layer_cam": Method("LayerCAM: finer maps of earlier layers", "arbitrary unit", _CAM),
    "occlusion": Method(
        "how far the logit falls when a patch is covered; for any network",
        "logit", ("patch", "stride", "baseline", "scale"),
    ),
    "integrated_gradients": Method(
        "what each pixel adds to the logit on the way from an empty scan; for any network",
        "logit", ("steps", "baseline", "scale"),
    ),
    "smoothgrad": Method(
        "the logit's gradient, averaged over noisy copies; for any network",
        "logit/SD", ("samples", "noise", "seed", "scale"),
    ),
    "activations": Method("every channel of a layer", "activation", ("layer",), "scan"),
    "filters": Method(
        "what the channels of a layer look for, by gradient ascent (once a run, of no scan)",
        "intensity", ("layer", "channels", "steps", "seed"), "network",
    ),
    "receptive_field": Method(
        "how much of the scan one cell of the last feature map sees", "of the largest influence",
        ("seed",), "scan",
    ),
}  # fmt: skip
"""By name."""
PIXELWISE = ("integrated_gradients", "smoothgrad")
"""Methods whose single pixels vary wildly."""
CAMS = ("grad_cam", "hires_cam", "grad_cam_plus_plus", "layer_cam")
"""Methods of feature maps: a network without them has occlusion."""


@dataclass(frozen=True)
class Options:
    """How the methods look; each heeds some, see :class:`Method`.

    Attributes:
        layer: Name of a module; None for the backbone's output.
        patch: Pixels of an occluding patch along each axis, or one number for all; None: an eighth of each
            side, of volumes a quarter.
        stride: Between patches; None: half a patch.
        baseline: What stands where nothing is to be seen: ``mean`` or ``blur``.
        steps: Of integrated gradients' path, or of the ascent to a filter's pattern; None: 64.
        samples: Noisy copies of a scan.
        noise: Their noise, in shares of the scan's span.
        channels: Channels whose patterns are made, from the layer's first.
        seed: Of noise.
        threshold: Probability from which a cell belongs to a suspicious region.
        scale: Value of full colour, the same for all scans; None: each scan's own largest value, as its
            legend says.
    """

    layer: str | None = None
    patch: tuple[int, ...] | None = None
    stride: tuple[int, ...] | None = None
    baseline: str = "mean"
    steps: int | None = None
    samples: int = 32
    noise: float = 0.15
    channels: int = 32
    seed: int = 0
    threshold: float = 0.5
    scale: float | None = None


OPTIONS = tuple(option.name for option in fields(Options))
"""Names of all options."""


def choose_options(methods: Iterable[str], given: Mapping[str, Any]) -> Options:
    """The options of a run.

    Args:
        methods: Names of the methods chosen.
        given: Options by name; None where not given.

    Raises:
        SettingsError: A method is unknown, or an option is given that none of the methods heeds.
    """
    chosen = list(methods)
    for name in chosen:
        if name not in METHODS:
            raise SettingsError(f"No method {name!r}.", f"Choose of: {', '.join(METHODS)}.")
    heeded = {option for name in chosen for option in METHODS[name].options}
    # Lists of the command line become tuples: options are values.
    wanted: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in given.items()
        if value is not None
    }
    for key in wanted:
        if key not in heeded:
            fits = [name for name, method in METHODS.items() if key in method.options]
            raise SettingsError(
                f"--{key} fits {', '.join(fits)} only.", "Leave it out, or add such a --method."
            )
    if not wanted.get("scale", 1) > 0:
        raise SettingsError(f"--scale is {wanted['scale']:g}.", "Give a number above 0.")
    if wanted.get("seed", 0) < 0:
        raise SettingsError(f"--seed is {wanted['seed']}.", "Give a whole number, 0 or above.")
    return Options(**wanted)


def used(method: str, options: Options) -> dict[str, Any]:
    """The options that a method heeds, by name: what ``explanation.json`` says of it."""
    return {name: getattr(options, name) for name in METHODS[method].options}
