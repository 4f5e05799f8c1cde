"""Palette colour: stored values through the red, green and blue tables (DICOM PS3.3 C.7.6.3.1.5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels import apply_color_lut

from scanlens.sources.readers.dicom_values import numbers

_COLOURS = ("Red", "Green", "Blue")


def palette_rgb(stored: npt.NDArray[np.generic], dataset: FileDataset) -> tuple[npt.NDArray[np.generic], int]:
    """Look palette values up.

    pydicom's own function reads 16-bit tables in this machine's byte order, so that those of a big endian
    file come out swapped (1 for 256); it is given such tables turned round.

    Args:
        stored: ``(..., height, width)`` as decoded.
        dataset: The header with the tables, segmented ones too.

    Returns:
        ``(..., height, width, 3)``, and the bits of an entry: 8 also where 8-bit entries stand in 16.
    """
    tables = dataset if dataset.original_encoding[1] in (True, None) else _little_endian(dataset)
    colours = apply_color_lut(stored, tables)[..., :3]
    descriptor = numbers(dataset, "RedPaletteColorLookupTableDescriptor")
    return colours, min(int(descriptor[2]), 8 * colours.dtype.itemsize)


def _little_endian(dataset: FileDataset) -> Dataset:
    """Return a data set of the palette alone, its tables in little endian order.

    Tables are words (OW) whether their entries take 8 bits or 16. Segmented ones pydicom reads in the
    file's order itself.
    """
    if "RedPaletteColorLookupTableData" not in dataset:
        return dataset
    tables = Dataset()
    for colour in _COLOURS:
        descriptor = f"{colour}PaletteColorLookupTableDescriptor"
        data = f"{colour}PaletteColorLookupTableData"
        words = np.frombuffer(dataset[data].value, dtype=">u2")
        tables[descriptor] = dataset[descriptor]
        tables.add_new(dataset[data].tag, "OW", words.astype("<u2").tobytes())
    return tables
