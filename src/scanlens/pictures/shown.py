"""What of a preprocessed scan a person is shown: channels that are no colours cannot be drawn together."""

from __future__ import annotations

import json

from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.preprocess.store import Store
from scanlens.types import ImageArray

RED_GREEN_BLUE = 3


def shown(image: ImageArray, colour: bool) -> ImageArray:
    """The channels to draw: three where they are colours, else the middle one.

    Args:
        image: ``(channel, *spatial)``.
        colour: Whether three channels are red, green and blue: :attr:`Preprocessor.colour` or
            :func:`is_colour`.

    Returns:
        ``(1 or 3, *spatial)``; of slices the middle one, of windows the middle one of the list.
    """
    if colour and len(image) == RED_GREEN_BLUE:
        return image
    middle = len(image) // 2
    return image[middle : middle + 1]


def is_colour(store: Store) -> bool:
    """Whether a store's three channels are red, green and blue, by its ``preprocessor.json``.

    A store without one holds what its shape says: three channels are colours.
    """
    path = store.folder / "preprocessor.json"
    if not path.is_file():
        return store.shape[0] == RED_GREEN_BLUE
    return Preprocessor.from_json(json.loads(path.read_text(encoding="utf-8"))).colour
