"""The explanation stage where a number is predicted: the value each cell argues for."""

from __future__ import annotations

import html
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.atomic import replacing, write_text
from scanlens.config.schema import Explanation
from scanlens.errors import ScanlensError
from scanlens.explanation.album import OVERLAYS as OVERLAYS
from scanlens.explanation.ranking import predictions_of_test
from scanlens.maps.files import MAPS
from scanlens.pictures.diverging import number_picture, number_png
from scanlens.pictures.shown import is_colour, shown

if TYPE_CHECKING:
    from scanlens.models.predict import Local
    from scanlens.preprocess.store import Store

_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>Where the number comes from</title>
<style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:66rem;padding:0 1rem}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(18rem,1fr));gap:1rem}
figure{margin:0}img{width:100%}figcaption{font-size:.85rem;color:#616e7c}</style></head><body>
"""


def explain_numbers(
    batches: Iterable[Local],
    store: Store,
    predictions: pd.DataFrame,
    scale: tuple[float, float],
    config: Explanation,
    output: Path,
    masks: Callable[[str], npt.NDArray[np.bool_] | None],
) -> dict[str, Any]:
    """Write the maps of the test split, pictures of the largest errors, and a page that shows them.

    Args:
        batches: Cover ``store.rows("test")``, from :func:`scanlens.models.predict.local_logits`.
        store: The preprocessed scans.
        predictions: Evaluation's table; it holds every test scan of the store.
        scale: Mean and standard deviation of the training labels: the colours' scale.
        config: Section ``explanation``.
        output: Folder that receives :data:`MAPS`, ``index.parquet``, ``overlays/`` and ``gallery.html``.
        masks: From a scan_id to its lesion mask in the store's geometry, or None; outlined, not scored: a
            number has no map of a class.

    Returns:
        Facts: counts, and ``identity``: greatest difference between a scan's number in ``predictions`` and
        the one here, and the mean over its cells, in standard deviations of the training labels.

    Raises:
        SettingsError: There is no test scan, or the predictions do not fit the store.
        ScanlensError: The batches do not cover the test split, or a number is not finite.
    """
    rows = store.rows("test")
    table = predictions_of_test(predictions, store, rows)
    pictures = output / f"{OVERLAYS}.partial"
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir(parents=True)
    wanted = table["error"].abs().sort_values(ascending=False, kind="stable").index[: config.max_overlays]
    pictured = {int(position) for position in wanted}
    position_of = {int(row): position for position, row in enumerate(rows)}
    overlays = [""] * len(rows)
    slices = [-1] * len(rows)
    colour, difference = is_colour(store), 0.0
    done: set[int] = set()
    maps: np.memmap | None = None
    partial = output / f"{MAPS}.partial"
    for batch in batches:
        values = batch.local[:, 0]
        if not np.isfinite(values).all():
            raise ScanlensError(
                "The network's local numbers are not finite, so there is no map.",
                "Train again with a lower training.lr or a smaller training.gradient_clip.",
            )
        if maps is None:
            shape = (len(rows), *values.shape[1:])
            maps = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
        means = values.reshape(len(values), -1).mean(axis=1, dtype=np.float64)
        for row, own, mean, whole in zip(batch.rows, values, means, batch.logits[:, 0], strict=True):
            position = position_of[int(row)]
            maps[position] = own
            said = table.iloc[position].to_dict()
            difference = max(difference, *(abs(float(one) - said["predicted"]) for one in (mean, whole)))
            done.add(position)
            if position in pictured:
                image = shown(store.read(np.array([row]))[0], colour)
                picture = number_picture(image, own, masks(said["scan_id"]), *scale, config.overlay_side)
                caption = f"{said['predicted']:.4g}, label {said['label']:.4g}"
                name = f"{position:05d}.png"
                overlays[position] = f"{OVERLAYS}/{name}"
                slices[position] = -1 if picture.slice is None else picture.slice
                (pictures / name).write_bytes(number_png(picture, caption, *scale))
    if maps is None or len(done) != len(rows):
        raise ScanlensError(f"Maps came for {len(done)} of {len(rows)} test scans.")
    maps.flush()
    shutil.rmtree(output / OVERLAYS, ignore_errors=True)
    pictures.replace(output / OVERLAYS)
    grid = list(maps.shape[1:])
    partial.replace(output / MAPS)
    index = table[["scan_id", "label", "predicted", "error"]].assign(
        row=np.arange(len(rows)), store_row=rows, overlay=overlays, slice=slices
    )
    with replacing(output / "index.parquet") as temporary:
        index.to_parquet(temporary, index=False)
    _write_gallery(output / "gallery.html", index.loc[list(wanted)], store.labels[0], scale)
    return {
        "scans": len(rows),
        "overlays": len(wanted),
        "labels": list(store.labels),
        "grid": grid,
        "scale": {"centre": scale[0], "spread": scale[1]},
        "identity": {"max_difference_in_std": difference / scale[1]},
        "scores": {},
    }


def _write_gallery(path: Path, cards: pd.DataFrame, name: str, scale: tuple[float, float]) -> None:
    """A page of pictures, the largest errors first."""
    word = html.escape(name)
    text = [
        _HEAD,
        f"<h1>Where {word} comes from</h1>",
        "<p>Each cell shows the number the network would give if all of the scan looked like it; their mean "
        f"is the prediction. Clear: {scale[0]:.4g}, the mean of the training labels. Blue: less. Red: more. "
        "One scale for all scans. The largest errors come first.</p><main>",
    ]
    for card in cards.to_dict("records"):
        text.append(
            f'<figure><img loading="lazy" alt="map" src="{html.escape(str(card["overlay"]))}"><figcaption>'
            f"{html.escape(str(card['scan_id']))}: predicted {card['predicted']:.4g}, "
            f"label {card['label']:.4g}</figcaption></figure>"
        )
    write_text(path, "\n".join([*text, "</main></body></html>\n"]))
