"""What ``scanlens explain`` does: a bundle, scans and methods in; pictures, raw values and facts out.

It stands here and not beside the methods, because it opens bundles and reads scans as inference does: the
methods (:mod:`scanlens.explanation`) know neither.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import torch

from scanlens.atomic import write_json
from scanlens.config.schema import Runtime
from scanlens.errors import ScanlensError, SettingsError
from scanlens.inference.batch import list_inputs, read_inputs
from scanlens.inference.bundle import Bundle
from scanlens.inference.output import output_folder
from scanlens.inference.viewer import Request, Viewer
from scanlens.methods.views import METHODS, used
from scanlens.scaling.device import prepare
from scanlens.scaling.limits import Failed
from scanlens.sources.listing.written import FACTS


def explain(bundle: Bundle, path: Path, output: Path, request: Request) -> dict[str, Any]:
    """Show every scan below ``path`` by every method.

    Args:
        bundle: Opened.
        path: A scan, or a folder that is searched for scans.
        output: Receives ``<scan>-<method>.png`` and ``.npy`` a scan and method, ``filters.png`` and
            ``.npy``, and ``explanation.json``, when all is done. ``<scan>`` is the scan's id, the same as in
            ``predictions.csv``: names of files often name patients.
        request: What to show.

    Returns:
        What ``explanation.json`` holds: ``scans``, ``failures`` and what they were made with.

    Raises:
        SettingsError: Where a method does not fit the network, or an option the method: before any scan is
            read. Where ``output`` is somebody else's (:func:`scanlens.inference.output.output_folder`).
        BundleError: Where the bundle's weights don't fit.
    """
    view = Viewer(bundle, request)
    methods = [method for method in request.methods if METHODS[method].kind != "network"]
    of_network = [method for method in request.methods if METHODS[method].kind == "network"]
    facts: dict[str, Any] = {
        "bundle": bundle.bundle_id,
        "device": request.device,
        "methods": {
            name: {"what": METHODS[name].what, "options": used(name, request.options)}
            for name in request.methods
        },
        "network": [],
        "scans": [],
        "failures": [],
    }
    listed = list_inputs(path, dims=bundle.dims) if methods else None
    pictures = [f"{method}{ending}" for method in of_network for ending in (".npy", ".png")]
    with output_folder(output, (*pictures, FACTS)) as work:
        facts["network"] = [view.of_network(method, work) for method in of_network]
        for reference, item in read_inputs(*listed, bundle, None, "explain", located=True) if listed else ():
            try:
                if isinstance(item, Failed):
                    raise ScanlensError(item.reason)
                facts["scans"].append(view.of_scan(item, methods, work))
            except SettingsError:
                raise
            except ScanlensError as error:
                facts["failures"].append({"path": reference, "reason": str(error)})
        write_json(work / FACTS, facts)
    return facts


def use_device(wanted: Literal["auto", "cpu", "cuda"], threads: int | None, dims: int) -> str:
    """The device to compute on, with torch made repeatable there.

    Args:
        wanted: ``auto`` takes a GPU where there is one.
        threads: Arithmetic threads; None for all cores.
        dims: 2 or 3.

    Raises:
        SettingsError: Where a GPU is demanded that is not there.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SettingsError("--device is cuda, but torch sees no GPU.", "Use --device auto.")
    runtime = Runtime(wanted, "32", False, 1, 1, threads or "auto", 1, 1, "local", None)
    return prepare(runtime, dims).device


def facts_text(facts: dict[str, Any], output: Path) -> str:
    """What a run did, for people: a line for each picture, with its scan and what is to be said of it.

    Example:
        >>> view = {"image": "a1-grad_cam.png", "notes": ["values beyond the scale are cut"]}
        >>> scan = {"path": "a.png", "predicted": "sick", "probabilities": {"sick": 0.93}, "views": [view]}
        >>> facts = {"network": [], "scans": [scan], "failures": [], "bundle": "b0"}
        >>> print(facts_text(facts, Path("out")))
        a.png: sick 0.93
          out/a1-grad_cam.png
            values beyond the scale are cut
        explain: 1 scans explained, 0 failed (bundle b0)
    """
    lines = []
    for view in facts["network"]:
        silent = f", {view['silent']} without a pattern" if view["silent"] else ""
        lines.append(f"{output / view['image']}: {len(view['after'])} channels of {view['layer']}{silent}")
    for scan in facts["scans"]:
        if "predicted" in scan:
            verdict = f"{scan['predicted']} {scan['probabilities'][scan['predicted']]:.2f}"
        else:
            verdict = f"{scan['value']:.4g}"
        lines.append(f"{scan['path']}: {verdict}")
        for view in scan["views"]:
            lines.append(f"  {output / view['image']}")
            lines += [f"    {_region(region)}" for region in view.get("regions", [])]
            lines += [f"    {note}" for note in view.get("notes", [])]
    failed = len(facts["failures"])
    lines.append(
        f"explain: {len(facts['scans'])} scans explained, {failed} failed (bundle {facts['bundle']})"
    )
    return "\n".join(lines)


def _region(region: dict[str, Any]) -> str:
    """One line per suspicious region; places in the scan's own pixels."""
    sides = zip(region["scan_box_low"], region["scan_box_high"], strict=True)
    box = " x ".join(f"{low}:{high}" for low, high in sides)
    sizes = ((region["area_mm2"], "mm2"), (region["volume_mm3"], "mm3"))
    size = "".join(f", {value:.0f} {unit}" for value, unit in sizes if value is not None)
    return f"{region['label']} up to {region['peak']:.2f} at {box}{size}"


def report_failures(facts: dict[str, Any]) -> None:
    """One line per failed scan on the standard error stream: its name and the reason."""
    for failure in facts["failures"]:
        print(f"scanlens explain: {failure['path']}: {failure['reason']}", file=sys.stderr)
