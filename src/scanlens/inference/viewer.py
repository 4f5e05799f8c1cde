"""One bundle's network looking at one scan after another: every view computed, drawn and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scanlens.errors import ScanlensError
from scanlens.evaluation.calibration import calibrated_probabilities
from scanlens.inference.bundle import Bundle
from scanlens.inference.reading import Ready
from scanlens.inference.runtime import load_network
from scanlens.maps.probability import upsample
from scanlens.maps.regions import Region, region_rows, suspicious_labels, suspicious_regions
from scanlens.methods.activations import activations
from scanlens.methods.class_views import ClassView, class_view
from scanlens.methods.field import Field, field_of, field_panel
from scanlens.methods.filters import patterns
from scanlens.methods.gradcam import class_numbers
from scanlens.methods.layer_views import activation_sheet, filter_sheet
from scanlens.methods.layers import find_layer
from scanlens.methods.occlusion import patch_size, stride_size
from scanlens.methods.views import CAMS, METHODS, PIXELWISE, Options
from scanlens.models.ensemble import Network
from scanlens.models.predict import to_input
from scanlens.pictures.diverging import REACH_OF_SCALE
from scanlens.pictures.panels import FEW_BEYOND, FIXED, LARGEST, Pixels, Scale, panel, png, row, scale_of
from scanlens.pictures.shown import shown
from scanlens.types import FloatArray


@dataclass(frozen=True)
class Request:
    """What to show.

    Attributes:
        methods: Keys of :data:`scanlens.methods.views.METHODS`, in the order of work.
        classes: Names or numbers of classes, ``all``, or ``predicted`` alone.
        options: How the methods look.
        side: Longest side of a scan in a picture, in pixels.
        batch_size: Scans a pass, for methods of many passes.
        device: ``cpu`` or ``cuda``.
        progress: Whether to show bars.
    """

    methods: tuple[str, ...]
    classes: tuple[str, ...]
    options: Options
    side: int = 320
    batch_size: int = 16
    device: str = "cpu"
    progress: bool = True


@dataclass(frozen=True)
class _Predicted:
    """A scan and what the network says of it.

    Attributes:
        ready: As preprocessed.
        scan: The network's input ``(channel, *spatial)``.
        classes: Indices of the classes to show.
        captions: Of every class of the bundle: its name and probability, or the number.
        facts: What ``explanation.json`` says of it.
    """

    ready: Ready
    scan: Tensor
    classes: list[int]
    captions: list[str]
    facts: dict[str, Any]


class Viewer:
    """Draws and writes the views of one bundle's network."""

    def __init__(self, bundle: Bundle, request: Request) -> None:
        self.bundle, self.request = bundle, request
        # TF32 would change the values in the third digit between machines.
        torch.backends.cudnn.allow_tf32 = False
        self.network: Network = load_network(bundle).to(request.device).eval()
        for weights in self.network.parameters():
            weights.requires_grad_(False)
        self.is_number = not bundle.task.has_classes
        self.classes = self._classes()
        self._field: Field | None = None
        self._try()

    def _classes(self) -> list[int] | None:
        """Indices of the classes to show; None for the predicted one of each scan."""
        names, labels = self.request.classes, self.bundle.labels
        if names == ("predicted",) and "predicted" not in labels:
            return None
        if names == ("all",) and "all" not in labels:
            return list(range(len(labels)))
        return class_numbers(names, labels)

    def _try(self) -> None:
        """Let a scan without content show what does not fit, before any is read."""
        bundle, options = self.bundle, self.request.options
        scan = torch.zeros(
            len(bundle.statistics["mean"]), *bundle.preprocessor.size, device=self.request.device
        )
        for method in self.request.methods:
            if method in CAMS:
                self._class_view(method, scan, [0])
            elif method == "occlusion":
                stride_size(patch_size(scan.shape[1:], options.patch), options.stride)
            elif method == "probability":
                suspicious_regions(np.zeros((1, 1)), options.threshold, "")
            elif method in ("activations", "filters"):
                with torch.no_grad():
                    activations(self.network, scan[None], *find_layer(self.network, options.layer))

    def _class_view(self, method: str, scan: Tensor, classes: Sequence[int]) -> ClassView:
        request, bundle = self.request, self.bundle
        number = bundle.labels[0] if self.is_number else None
        how = request.options, bundle.temperature, number, request.batch_size, request.progress
        return class_view(method, self.network, scan, classes, *how)

    def of_network(self, method: str, output: Path) -> dict[str, Any]:
        """Filters: patterns of a layer's first channels."""
        bundle, request, options = self.bundle, self.request, self.request.options
        name, layer = find_layer(self.network, options.layer)
        shape = (len(bundle.statistics["mean"]), *bundle.preprocessor.size)
        with torch.no_grad():
            empty = torch.zeros(1, *shape, device=request.device)
            count = activations(self.network, empty, name, layer).shape[1]
        channels = range(min(options.channels, count))
        steps = {} if options.steps is None else {"steps": options.steps}
        found = patterns(
            self.network, name, layer, channels, shape, bundle.statistics, seed=options.seed,
            device=request.device, progress=request.progress, **steps,
        )  # fmt: skip
        drawn = filter_sheet(found, channels, count, name, bundle.preprocessor.colour)
        return {
            "method": method,
            "layer": name,
            "channels": count,
            "before": found.before.tolist(),
            "after": found.after.tolist(),
            "silent": found.silent,
            **self._write(output, method, drawn, found.pixels, "intensity"),
        }

    def of_scan(self, ready: Ready, methods: Sequence[str], output: Path) -> dict[str, Any]:
        """Every view of one scan."""
        predicted = self._predict(ready)
        views = []
        for method in methods:
            stem = f"{ready.scan_id}-{method}"
            if method == "activations":
                views.append(self._activations(predicted, output, stem))
            elif method == "receptive_field":
                views.append(self._receptive_field(predicted, output, stem))
            else:
                views.append(self._of_classes(method, predicted, output, stem))
        return {**predicted.facts, "views": views}

    def _predict(self, ready: Ready) -> _Predicted:
        """Ask the network; its input is what batch inference would give it."""
        scan = to_input(ready.pixels[np.newaxis], self.bundle.statistics, self.request.device)[0]
        with torch.inference_mode():
            logits = self.network.logits(scan[None]).float().cpu().numpy()
        if not np.isfinite(logits).all():
            raise ScanlensError("the network's logits are not finite.")
        facts: dict[str, Any] = {"path": ready.reference, "scan_id": ready.scan_id}
        labels = self.bundle.labels
        if self.is_number:
            value = float(logits[0, 0])
            return _Predicted(ready, scan, [0], [f"{labels[0]} {value:.4g}"], {**facts, "value": value})
        probabilities = [float(p) for p in calibrated_probabilities(logits, self.bundle.temperature)[0]]
        predicted = int(np.argmax(probabilities))
        facts["predicted"] = labels[predicted]
        facts["probabilities"] = dict(zip(labels, probabilities, strict=True))
        captions = [f"{label} {p:.2f}" for label, p in zip(labels, probabilities, strict=True)]
        return _Predicted(ready, scan, [predicted] if self.classes is None else self.classes, captions, facts)

    def _of_classes(self, method: str, predicted: _Predicted, output: Path, stem: str) -> dict[str, Any]:
        view = self._class_view(method, predicted.scan, predicted.classes)
        regions = self._regions(predicted) if method == "probability" and not self.is_number else []
        scale = self._scale(method, view)
        image, labels = shown(predicted.ready.pixels, self.bundle.preprocessor.colour), self.bundle.labels
        # A number has no probability; its map shows the number that each cell argues for.
        name = "each cell's" if method == "probability" and self.is_number else method.replace("_", " ")
        panels = [
            panel(
                image,
                values,
                scale,
                f"{name}: {predicted.captions[index]}",
                self.request.side,
                [_box(region) for region in regions if region.label == labels[index]],
            )
            for index, values in zip(predicted.classes, view.values, strict=True)
        ]
        low, high = scale.ends
        return {
            "method": method,
            "classes": [labels[index] for index in predicted.classes],
            **self._write(output, stem, row(panels), view.values, view.unit),
            "scale": {"low": low, "high": high, "same_for_all_scans": scale.note == FIXED},
            **view.facts,
            "regions": _described(predicted, regions),
            "notes": list(view.notes),
        }

    def _regions(self, predicted: _Predicted) -> list[Region]:
        """Suspicious regions of every class that is a finding, whether its map is drawn or not."""
        labels, geometry = self.bundle.labels, predicted.ready.geometry
        assert geometry is not None
        known = self.bundle.positive
        sought = suspicious_labels(labels, [] if known is None else [known])
        findings = [labels.index(label) for label in sought]
        maps = upsample(
            self._class_view("probability", predicted.scan, findings).values, self.bundle.preprocessor.size
        )
        return [
            region
            for index, values in zip(findings, maps, strict=True)
            for region in suspicious_regions(
                values, self.request.options.threshold, labels[index],
                spacing=geometry.grid_spacing, inside=geometry.inside,
            )
        ]  # fmt: skip

    def _scale(self, method: str, view: ClassView) -> Scale:
        if method != "probability":
            note = FEW_BEYOND if method in PIXELWISE else LARGEST
            return scale_of(view.values, view.unit, self.request.options.scale, note)
        if self.is_number:
            centre, spread = self.bundle.scale
            return Scale(REACH_OF_SCALE * spread, True, self.bundle.labels[0], FIXED, centre)
        return Scale(1.0, False, view.unit, FIXED)

    def _activations(self, predicted: _Predicted, output: Path, stem: str) -> dict[str, Any]:
        name, layer = find_layer(self.network, self.request.options.layer)
        with torch.no_grad():
            found = activations(self.network, predicted.scan[None], name, layer)[0].float().cpu().numpy()
        drawn = activation_sheet(found, name)
        return {
            "method": "activations",
            "layer": name,
            **self._write(output, stem, drawn, found, "activation"),
        }

    def _receptive_field(self, predicted: _Predicted, output: Path, stem: str) -> dict[str, Any]:
        if self._field is None:
            with torch.no_grad():
                grid = activations(self.network, predicted.scan[None], *find_layer(self.network, None)).shape[
                    2:
                ]
            channels, *size = predicted.scan.shape
            self._field = field_of(self.network, channels, size, grid, self.request.options.seed)
        image = shown(predicted.ready.pixels, self.bundle.preprocessor.colour)
        drawn = field_panel(image, self._field, self.request.side)
        return {
            "method": "receptive_field",
            "theoretical": self._field.theoretical,
            "effective": self._field.effective,
            **self._write(output, stem, drawn, self._field.influence, METHODS["receptive_field"].unit),
        }

    def _write(self, output: Path, stem: str, drawn: Pixels, values: FloatArray, unit: str) -> dict[str, Any]:
        (output / f"{stem}.png").write_bytes(png(drawn))
        np.save(output / f"{stem}.npy", np.ascontiguousarray(values, np.float32))
        return {"image": f"{stem}.png", "values": f"{stem}.npy", "shape": list(values.shape), "unit": unit}


def _box(region: Region) -> tuple[slice, ...]:
    return tuple(slice(low, high) for low, high in zip(region.low, region.high, strict=True))


def _described(predicted: _Predicted, regions: Sequence[Region]) -> list[dict[str, Any]]:
    """Rows of the table that stage explanation writes, less what the scan's facts say already."""
    if predicted.ready.geometry is None:
        return []
    rows = region_rows("", "", regions, predicted.ready.geometry)
    return [{k: v for k, v in row.items() if k not in ("scan_id", "predicted")} for row in rows]
