"""What do maps cost beside the plain forward pass, and what do others' maps cost?

Ours are those of the explanation stage: probability maps and Grad-CAM of every class, the probability maps
enlarged to the scan. Against the plain forward pass of the same network on the same scans, and beside it
pytorch-grad-cam, captum and MONAI, which give the map of one class. All alternate in one process. Then:
overlays written against maps made, and the memory of the explanation stage at four times the scans.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from benchmarks.memory import peak_of
from benchmarks.table import Row, is_quick, median, publish, spread
from scanlens.config.load import load_section
from scanlens.config.schema import Explanation, Model
from scanlens.explanation.album import Album
from scanlens.explanation.run import explain_classes
from scanlens.maps.probability import grad_cam, probability_maps, upsample
from scanlens.methods.gradcam import class_maps
from scanlens.models.classifier import Classifier
from scanlens.models.predict import local_logits
from scanlens.models.registry import build, resolve_model
from scanlens.preprocess.statistics import write_statistics
from scanlens.preprocess.store import Store, StoreWriter

LABELS = ["a", "b", "c"]
SHOWN = 1
"""Class whose map the peers make."""
TEMPERATURE = 1.3
GRAIN = 3
"""Of the drawn scans' shapes, pixels."""
SIDE = 64
"""Of the scans whose explanation's memory is watched, pixels."""


class Case(NamedTuple):
    """A network, its scans ``(channel, *spatial)``, how many a batch, and an earlier layer."""

    title: str
    name: str
    shape: tuple[int, ...]
    batch: int
    layer: str


IMAGE = (1, 224, 224)
CASES = [
    Case("ResNet-18, 224 px", "resnet18", IMAGE, 32, "layer3"),
    Case("ResNet-50, 224 px", "resnet50", IMAGE, 32, "layer3"),
    Case("DenseNet-121, 224 px", "densenet121", IMAGE, 32, "features.denseblock3"),
    Case("3-D ResNet-10, 64 voxels", "resnet10", (1, 64, 64, 64), 8, "layers.2"),
]


class Logits(nn.Module):
    """A network of its own for a peer: ``forward`` gives logits, and hooks of one do not slow another."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)

    def forward(self, scans: Tensor) -> Tensor:
        """Logits ``(batch, class)``."""
        return self.network.logits(scans)


def network_of(case: Case) -> Classifier:
    """Fresh weights: speed does not depend on them."""
    model = dataclasses.replace(
        load_section(Model), name=case.name, library="auto", stem="standard", width=1.0, args={}, hidden=[],
        pooling="average", head="auto",
    )  # fmt: skip
    network = build(resolve_model(model, case.shape, len(LABELS))).eval()
    return network.to(memory_format=torch.channels_last) if len(case.shape) == 3 else network  # type: ignore[call-overload]


def ours(network: Classifier, scans: Tensor) -> np.ndarray:
    """Probability maps of all classes as large as the scan; Grad-CAM of all classes on the way."""
    with torch.inference_mode():
        evidence = network.explain(scans)
    grad_cam(evidence.cams.numpy())
    return upsample(probability_maps(evidence.local.numpy(), TEMPERATURE), scans.shape[2:])


def forward(network: Classifier, scans: Tensor) -> Tensor:
    """The plain pass."""
    with torch.inference_mode():
        return network.logits(scans)


def pytorch_grad_cam(whole: Logits, scans: Tensor) -> np.ndarray:
    """One class, rescaled scan by scan, as it comes."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with GradCAM(whole, [whole.network.backbone]) as peer:
        maps: np.ndarray = peer(scans, [ClassifierOutputTarget(SHOWN)] * len(scans))
    return maps


def captum(whole: Logits, scans: Tensor) -> Tensor:
    """One class, at the size of the grid."""
    from captum.attr import LayerGradCam

    maps: Tensor = LayerGradCam(whole, whole.network.backbone).attribute(scans, target=SHOWN)
    return maps


def monai(whole: Logits, scans: Tensor) -> Tensor:
    """One class, enlarged and rescaled as it comes."""
    from monai.visualize import GradCAM

    maps: Tensor = GradCAM(whole, "network.backbone")(scans, class_idx=SHOWN)
    return maps


PEERS: dict[str, Callable[[Logits, Tensor], object]] = {
    "pytorch-grad-cam": pytorch_grad_cam,
    "captum LayerGradCam": captum,
    "MONAI GradCAM": monai,
}


def seconds(work: Callable[[], object]) -> float:
    """Of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def failure(work: Callable[[], object]) -> str:
    """Why a peer can't, in one line; empty where it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            work()
    except Exception as error:  # whatever a library raises is its row
        return f"{type(error).__name__}: {error}".splitlines()[0][:90]
    return ""


def compare(case: Case, rounds: int) -> tuple[list[Row], float]:
    """Alternate all, drop nothing but the warm-up; and our scans a second."""
    network, scans = network_of(case), torch.randn(case.batch, *case.shape)
    if scans.ndim == 4:
        scans = scans.contiguous(memory_format=torch.channels_last)
    works: dict[str, Callable[[], object]] = {
        "forward": partial(forward, network, scans),
        "maps of all classes": partial(ours, network, scans),
        f"Grad-CAM of {case.layer}, all classes": partial(class_maps, network, scans, "grad_cam", case.layer),
    }
    title, rows = f"{case.title}, batch {case.batch}", []
    for name, peer in PEERS.items():
        work: Callable[[], object] = partial(peer, Logits(network), scans)
        if reason := failure(work):
            rows.append(Row(f"{title}: {name} fails ({reason})", 0.0, 0.0, 0.0, "", 0, 0.0))
        else:
            works[f"{name}, one class"] = work
    for warm_up in works.values():
        warm_up()
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, timed in works.items():
            found[name].append(seconds(timed))
    plain = found.pop("forward")
    for name, times in reversed(found.items()):
        ratios = [a / b for a, b in zip(times, plain, strict=True)]
        bar = "<= 1.10" if name == "maps of all classes" else ""
        what = f"{title}: seconds of {name} against the plain forward pass"
        rows.insert(0, Row(what, median(times), median(plain), median(ratios), bar, rounds, spread(ratios)))
    return rows, case.batch / median(found["maps of all classes"])


def draw_overlays(case: Case, rate: float, rounds: int) -> Row:
    """Overlays written a second against maps made a second."""
    rng = np.random.default_rng(0)
    scans = smooth(rng, (case.batch, *case.shape))
    with torch.inference_mode():
        maps = probability_maps(network_of(case).explain(torch.from_numpy(scans)).local.numpy(), TEMPERATURE)
    frame = predictions([f"s{i}" for i in range(case.batch)], rng)
    table: list[dict[str, Any]] = [
        {str(key): value for key, value in row.items()} for row in frame.to_dict("records")
    ]
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            album = Album(Path(folder), LABELS, load_section(Explanation).overlay_side)
            start = time.perf_counter()
            for row, scan, own in zip(table, scans, maps, strict=True):
                album.draw(row, scan, own, None, None)
            rates.append(case.batch / (time.perf_counter() - start))
    what = f"{case.title}: overlays written a second against maps made a second"
    return Row(what, median(rates), rate, median(rates) / rate, ">= 0.8", rounds, spread(rates))


def smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Scans in [0, 1] with shapes in them: noise alone does not compress, and pictures of it are slow."""
    noise = rng.random(shape, dtype=np.float32)
    return np.clip(gaussian_filter(noise, (0, 0, *[GRAIN] * (len(shape) - 2))) * 4 - 1.5, 0, 1)


def predictions(scan_ids: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """A table as evaluation writes it, by chance."""
    logits = rng.normal(size=(len(scan_ids), len(LABELS)))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return pd.DataFrame(
        {
            "scan_id": scan_ids,
            "label": [LABELS[i % len(LABELS)] for i in range(len(scan_ids))],
            "predicted": [LABELS[best] for best in logits.argmax(1)],
            "split": "test",
            "uncertainty": rng.random(len(scan_ids)),
            **{f"logit_{label}": logits[:, i] for i, label in enumerate(LABELS)},
            **{f"probability_{label}": shares[:, i] for i, label in enumerate(LABELS)},
        }
    )


def make_store(folder: Path, count: int) -> None:
    """Noise, all of it to be explained but one scan that the statistics are of."""
    rng = np.random.default_rng(0)
    ids = [f"s{i}" for i in range(count + 1)]
    with StoreWriter(folder, (1, SIDE, SIDE), LABELS, 256) as writer:
        for _ in ids:
            writer.append(rng.random((1, SIDE, SIDE), dtype=np.float32))
        label = [LABELS[i % len(LABELS)] for i in range(len(ids))]
        split = ["train"] + ["test"] * count
        writer.close(
            pd.DataFrame(
                {"scan_id": ids, "patient": ids, "label": label, "split": split, "site": "", "path": ids}
            )
        )
    write_statistics(Store.open(folder))


def explain_all(folder: Path) -> None:
    """The explanation stage's own call on the store in ``folder``."""
    store = Store.open(folder)
    network = build(resolve_model(load_section(Model), store.shape, len(LABELS)))
    rows = store.rows("test")
    table = predictions([f"s{row}" for row in rows], np.random.default_rng(1))
    batches = local_logits(network, store, rows, store.statistics, 16, "cpu")
    explain_classes(
        batches,
        store,
        table,
        TEMPERATURE,
        load_section(Explanation),
        folder / "maps",
        lambda scan_id: None,
    )


def memory(count: int) -> Row:
    """Private peak memory of the explanation stage at four times the scans."""
    peaks = []
    for scans in (count, 4 * count):
        with tempfile.TemporaryDirectory() as name:
            make_store(Path(name), scans)
            peaks.append(peak_of(explain_all, Path(name)))
    what = f"explanation: private peak MiB at {4 * count} scans against {count}"
    return Row(what, peaks[1], peaks[0], peaks[1] / peaks[0], "<= 1.1", 1, 0.0)


def main() -> None:
    """Quick: ResNet-18 with small batches."""
    quick = is_quick()
    rounds = 3 if quick else 7
    rows = []
    for case in [CASES[0]._replace(batch=8)] if quick else CASES:
        found, rate = compare(case, rounds)
        rows += [*found, draw_overlays(case, rate, rounds)]
    publish("maps", [*rows, memory(50 if quick else 200)])


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
