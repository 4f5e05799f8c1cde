"""The explanation stage: stream local logits, write maps, scores, overlays and the gallery.

The maps in memory are those of one batch, whatever the number of scans.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from scanlens.atomic import replacing
from scanlens.config.schema import Explanation
from scanlens.errors import UnreadableScan
from scanlens.evaluation.sets import ABSTAINED, set_of
from scanlens.explanation.album import Album
from scanlens.explanation.cards import Card, Heading
from scanlens.explanation.gallery import write_gallery
from scanlens.explanation.neighbours import Neighbour
from scanlens.explanation.ranking import most_uncertain_first, predictions_of_test
from scanlens.maps.files import MapFiles
from scanlens.maps.geometry import ScanGeometry
from scanlens.maps.pointing import LesionScore, lesion_means, lesion_score
from scanlens.maps.probability import EVIDENCE_MAP, GRAD_CAM, PROBABILITY_MAP, map_kinds, upsample
from scanlens.maps.regions import Region, region_rows, region_table, scan_regions
from scanlens.pictures.legend import Legend, legend_png
from scanlens.pictures.shown import is_colour, shown
from scanlens.types import FloatArray

if TYPE_CHECKING:
    from scanlens.methods.field import Field
    from scanlens.models.predict import Local
    from scanlens.preprocess.store import Store


TRACKED_BYTES = 64 << 20
"""A larger array of maps stays with DVC."""
TRACKED_OVERLAYS = 24
"""Overlays that go along into a tracked run."""


@dataclass(frozen=True)
class Aids:
    """What stands beside the maps where it is known.

    Attributes:
        geometry: From a scan_id to where its pixels lie, for regions; it may raise UnreadableScan.
        neighbours: From a store row to the training scans nearest to it.
        seen: From the grid to what one of its cells sees, for the legend.
    """

    geometry: Callable[[str], ScanGeometry] | None = None
    neighbours: Mapping[int, Sequence[Neighbour]] = field(default_factory=dict)
    seen: Callable[[tuple[int, ...]], Field] | None = None


@dataclass(frozen=True)
class _Explained:
    """What is kept of one scan: its gallery card and the scores of its maps by kind, where it has a mask."""

    card: Card | None
    scores: dict[str, LesionScore]


def explain_classes(
    batches: Iterable[Local],
    store: Store,
    predictions: pd.DataFrame,
    temperature: float,
    config: Explanation,
    output: Path,
    masks: Callable[[str], npt.NDArray[np.bool_] | None],
    *,
    linear: bool = True,
    aids: Aids = Aids(),
) -> dict[str, Any]:
    """Draw and score the maps of the test split.

    Args:
        batches: Cover ``store.rows("test")``, from :func:`scanlens.models.predict.local_logits`.
        store: The preprocessed scans.
        predictions: Evaluation's table; it holds every test scan of the store.
        temperature: The calibration's.
        config: Section ``explanation``.
        output: Folder that receives the map arrays, ``index.parquet``, ``regions.parquet``, ``overlays/``,
            ``gallery.html``.
        masks: From a scan_id to its lesion mask ``(*spatial)`` in the store's geometry, or None. Every
            scan with a lesion in its mask is scored by the map of its own label.
        linear: Whether the mean of local logits is the logit, as the head's
            :attr:`scanlens.models.heads.Head.linear` says.
        aids: What else the gallery shows.

    Returns:
        Facts for ``explanation.json``: counts, ``identity`` (greatest difference between a scan's logit in
        ``predictions`` and its logit here, and for a linear head the mean of its local logits), ``regions``
        and ``scores`` of each kind of map.

    Raises:
        SettingsError: There is no test scan, the predictions do not fit the store, or a mask its scan.
        ScanlensError: Logits are not finite, or do not cover the test split.
    """
    output.mkdir(parents=True, exist_ok=True)
    rows = store.rows("test")
    table = predictions_of_test(predictions, store, rows)
    logits = table[[f"logit_{label}" for label in store.labels]].to_numpy(np.float64)
    ranked = most_uncertain_first(table)
    pictured = set(ranked.index[: config.max_overlays])

    colour = is_colour(store)
    files, album = MapFiles(output, rows), Album(output, store.labels, config.overlay_side)
    explained: dict[int, _Explained] = {}
    difference = 0.0
    kinds = (PROBABILITY_MAP, EVIDENCE_MAP, GRAD_CAM) if linear else (PROBABILITY_MAP, GRAD_CAM)
    region_records: list[dict[str, object]] = []
    for batch_rows, whole, local, rest, signed in batches:
        drawn = map_kinds(local, rest, signed, temperature, linear=linear)
        maps = drawn.maps[PROBABILITY_MAP]
        positions = files.put(batch_rows, maps, drawn.maps[GRAD_CAM])
        means = local.reshape(*local.shape[:2], -1).mean(axis=2, dtype=np.float64) if linear else whole
        for own in (whole, means):
            difference = max(difference, float(np.abs(own - logits[positions]).max()))
        for number, (row, position) in enumerate(zip(batch_rows, positions, strict=True)):
            prediction = table.iloc[position].to_dict()
            mask = masks(prediction["scan_id"])
            label = store.labels.index(prediction["label"])
            scores: dict[str, LesionScore] = {}
            for kind in kinds:
                if mask is None:
                    break
                own_map = upsample(drawn.maps[kind][number, label], store.shape[1:])
                own_order = None
                if kind in drawn.orders:
                    own_order = upsample(drawn.orders[kind][number, label], store.shape[1:])
                if (score := lesion_score(own_map, mask, own_order)) is not None:
                    scores[kind] = score
            regions = _regions(prediction, maps[number], store.labels, config, aids, region_records)
            card = None
            if position in pictured:
                image = shown(store.read(np.array([row]))[0], colour)
                card = album.draw(
                    prediction,
                    image,
                    maps[number],
                    mask,
                    scores.get("probability_map"),
                    prediction_set=set_of(prediction, store.labels),
                    abstained=bool(prediction.get(ABSTAINED, False)),
                    regions=regions,
                    neighbours=[
                        album.example(
                            str(store.index["scan_id"].iloc[near.row]),
                            str(store.index["label"].iloc[near.row]),
                            near.distance,
                            shown(store.read(np.array([near.row]))[0], colour),
                        )
                        for near in aids.neighbours.get(int(row), ())
                    ],
                )
            explained[int(position)] = _Explained(card, scores)

    grid = files.close()
    album.close()
    index = _index(table, rows, explained)
    with replacing(output / "index.parquet") as partial:
        index.to_parquet(partial, index=False)
    with replacing(output / "regions.parquet") as partial:
        region_table(region_records).to_parquet(partial, index=False)
    summaries = {kind: _summary(table, explained, kind) for kind in kinds}
    cards = [explained[position].card for position in ranked.index if position in pictured]
    seen = None if aids.seen is None else aids.seen(grid)
    heading = Heading(
        labels=store.labels,
        scans=len(rows),
        errors=int((table["label"] != table["predicted"]).sum()),
        picture=(store.shape[-2], store.shape[-1]),
        colour=colour,
        slices=store.shape[1] if len(store.shape) == 4 else None,
        grid=grid,
        scores=summaries["probability_map"],
        receptive_field=None if seen is None else (seen.effective, seen.effective),
    )
    if seen is not None:
        legend = Legend(
            store.shape[1:],
            grid,
            seen.effective,
            seen.theoretical,
            config.regions.threshold if aids.geometry else None,
            config.overlay_side,
        )
        with replacing(output / "overlays" / "legend.png") as partial:
            partial.write_bytes(legend_png(legend))
    write_gallery(output / "gallery.html", [card for card in cards if card is not None], heading)
    return {
        "scans": len(rows),
        "errors": heading.errors,
        "overlays": len(cards),
        "labels": list(store.labels),
        "grid": list(grid),
        "temperature": float(temperature),
        "identity": {"max_logit_difference": difference},
        "regions": len(region_records),
        "scores": summaries,
    }


def tracked_files(folder: Path) -> list[Path]:
    """What of the maps is worth a copy in every tracked run: arrays, tables, figures, uncertain overlays.

    Args:
        folder: Where :func:`explain_classes` wrote.
    """
    table = pd.read_parquet(folder / "index.parquet")
    # Of numbers the largest errors come first.
    worst = table["uncertainty"] if "uncertainty" in table else table["error"].abs()
    shown = table[table["overlay"] != ""].assign(worst=worst)
    shown = shown.sort_values(["worst", "scan_id"], ascending=[False, True])
    overlays = [folder / name for name in shown["overlay"].head(TRACKED_OVERLAYS)]
    arrays = [path for path in sorted(folder.glob("*.npy")) if path.stat().st_size <= TRACKED_BYTES]
    figures = sorted(folder.glob("*.png"))
    tables = [path for path in (folder / "index.parquet", folder / "regions.parquet") if path.is_file()]
    return [*arrays, *figures, *tables, *overlays]


def _regions(
    prediction: dict[str, Any],
    maps: FloatArray,
    labels: list[str],
    config: Explanation,
    aids: Aids,
    records: list[dict[str, object]],
) -> list[Region]:
    """The suspicious regions of one scan, also added to the records; none where the scan can't be read."""
    if aids.geometry is None:
        return []
    scan_id = str(prediction["scan_id"])
    try:
        geometry = aids.geometry(scan_id)
    except UnreadableScan as error:
        tqdm.write(f"warning: no regions are sought: {error}", file=sys.stderr)
        return []
    wanted = config.regions
    found = scan_regions(
        maps,
        labels,
        [float(prediction[f"probability_{label}"]) for label in labels],
        geometry,
        threshold=wanted.threshold,
        sought=wanted.labels,
        least_probability=wanted.least_probability,
        least_cells=wanted.least_cells,
    )
    records += region_rows(scan_id, str(prediction["predicted"]), found, geometry)
    return found


def _summary(table: pd.DataFrame, explained: dict[int, _Explained], kind: str) -> dict[str, Any]:
    found = {position: explained[position].scores.get(kind) for position in sorted(explained)}
    scored = {position: score for position, score in found.items() if score is not None}
    return lesion_means([table["label"].iloc[position] for position in scored], list(scored.values()))


def _index(
    table: pd.DataFrame, rows: npt.NDArray[np.integer], explained: dict[int, _Explained]
) -> pd.DataFrame:
    """One row per test scan, in the order of the map arrays.

    Columns: ``scan_id``; ``row`` (of the map arrays); ``store_row``; ``label``, ``predicted``,
    ``uncertainty``; ``overlay`` (relative to the index; empty where none was drawn); ``slice`` (the one
    drawn of a volume, from 0; -1 elsewhere); ``pointing_hit``, ``mass_in_mask``, ``area_share`` of the
    label's probability map (NaN without a mask).
    """
    records = []
    for position in range(len(rows)):
        card, score = explained[position].card, explained[position].scores.get("probability_map")
        records.append(
            {
                "row": position,
                "store_row": int(rows[position]),
                "overlay": card.overlay if card else "",
                "slice": card.slice if card and card.slice is not None else -1,
                "pointing_hit": score.hit if score else np.nan,
                "mass_in_mask": score.mass if score else np.nan,
                "area_share": score.area if score else np.nan,
            }
        )
    own = table[["scan_id", "label", "predicted", "uncertainty"]]
    return pd.concat([own, pd.DataFrame.from_records(records)], axis=1)
