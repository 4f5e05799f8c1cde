"""The few shapes every stage shares. Array code only: nothing here imports a framework.

Axis order is stated once, here: images are ``(channel, height, width)`` and volumes
``(channel, depth, height, width)``; batches put ``batch`` in front. Spatial tuples (size, spacing)
follow the array's own spatial axes, so ``spacing[0]`` belongs to ``pixels.shape[1]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
"""Any float array; its docstring names the axes."""
Facts: TypeAlias = dict[str, Any]
"""Free-form plain values for a JSON report: strings, numbers, null, lists and mappings of them."""
ImageArray: TypeAlias = npt.NDArray[np.float32]
"""``(channel, height, width)`` or ``(channel, depth, height, width)``, float32."""
SplitName: TypeAlias = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Scan:
    """One image or volume of one patient, decoded, not yet preprocessed.

    Attributes:
        pixels: float32, ``(channel, [depth,] height, width)``, 1 channel (grey) or 3 (RGB), in the
            file's own units after the modality LUT (HU for CT). Larger always means brighter:
            MONOCHROME1 arrives inverted.
        spacing: Millimetres along each spatial axis of ``pixels``; None where the file says nothing.
        modality: DICOM modality code (``CR``, ``DX``, ``CT``, ``MR``, ``US``…) or ``OT``.
        photometric: How the source stored it, e.g. ``MONOCHROME1``, ``RGB``, ``L``.
        orientation: Axis codes such as ``RAS`` for volumes; empty where unknown.
        affine: Where the scan lies: 4 x 4, from the indices ``(i, j, k)`` of the file's own voxels (the first
            one the fastest in the file, as nibabel and ITK count) to millimetres of RAS+. ``pixels`` may run
            along other axes: :func:`scanlens.sources.readers.axes.as_stored` turns them back. None where
            unknown.
        window: (lower, upper) in the units of ``pixels`` that the file suggests showing, or None.
        bits: Significant bits of the stored sample (8, 12, 16…; 32 for floats).
        rescaled: Of 8 bits and fewer: whether ``pixels`` are others than unsigned bytes, as they are signed,
            of fewer bits, or lie behind a slope, an intercept or a modality LUT. ``bits`` then says nothing
            of their range.
        padding: Where the file says that there is nothing, along the spatial axes of ``pixels``, which are
            darkest there; no statistic of the scan counts it. None where there is none.
        doubts: What of its header had to be guessed or contradicts itself: a phrase each, without values.
        patient: The identifier in the file itself, or an empty string. It is an identifier:
            callers pass it through :func:`scanlens.privacy.pseudonym.pseudonym` before storing it.
        burned_in: True or False where the file declares burned-in annotation, else None.
        wobble: Largest difference between the direction cosines of two slices, which count as parallel.
        header: What else the file's header says, as text by DICOM keyword (or ``(gggg,eeee)``). Full of
            identifiers: it must reach no file, log or message; :mod:`scanlens.privacy.deidentify` makes of
            it what may.
    """

    pixels: ImageArray
    spacing: tuple[float, ...] | None = None
    modality: str = "OT"
    photometric: str = ""
    orientation: str = ""
    affine: FloatArray | None = field(default=None, repr=False)
    window: tuple[float, float] | None = None
    bits: int = 8
    rescaled: bool = False
    padding: BoolArray | None = field(default=None, repr=False)
    doubts: tuple[str, ...] = ()
    patient: str = field(default="", repr=False)
    burned_in: bool | None = None
    wobble: float = 0.0
    header: Mapping[str, str] = field(default_factory=dict, repr=False)
