"""Other ways to train the same network on the same scans: what the training benchmark measures ours against.

Each takes one round of ``steps`` steps and gives images a second, the first two steps (warm-up) left out.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from scanlens.models.classifier import Classifier
from scanlens.models.pooling import EXPONENT, LEAST_FEATURE
from scanlens.scaling import heap

WARM_UP = 2
LR = 1e-3


@contextmanager
def usual_malloc() -> Iterator[None]:
    """The C library as other programs find it, at the thresholds that glibc reaches by itself."""
    heap.set_malloc(
        (heap.MMAP_MAX, 1 << 16), (heap.MMAP_THRESHOLD, 32 << 20), (heap.TRIM_THRESHOLD, 64 << 20)
    )
    try:
        yield
    finally:
        heap.keep_feature_maps()


@contextmanager
def unrepeatable() -> Iterator[None]:
    """Torch as other programs find it: ours has promised the same bytes each time, which costs some speed."""
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=True)


def plain_pooling(network: Classifier) -> Classifier:
    """Leave the gradient of the generalised mean to autograd, as who writes the formula down does."""

    def pool(maps: Tensor) -> Tensor:
        flat = maps.float().flatten(2)
        return flat.clamp(min=LEAST_FEATURE).pow(EXPONENT).mean(2).pow(1 / EXPONENT)

    if network.pooling == "gem":
        network.pool = pool  # type: ignore[method-assign]
    return network


def speed(times: list[float], batch: int) -> float:
    """Images a second from the moments at which batches were begun."""
    return batch * (len(times) - 1 - WARM_UP) / (times[-1] - times[WARM_UP])


def bare(
    network: nn.Module, scans: Tensor, targets: Tensor, steps: int, *, bf16: bool, channels_last: bool
) -> float:
    """A loop of plain PyTorch over one batch in memory: no data path, no augmentation, no metrics."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(memory_format=layout).train()
    scans = scans.contiguous(memory_format=layout)
    optimiser = torch.optim.AdamW(network.parameters(), LR)
    times = []
    for _ in range(steps):
        times.append(time.perf_counter())
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            outputs = network(scans)
        loss = nn.functional.cross_entropy(outputs.float(), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return speed([*times, time.perf_counter()], len(scans))


def write_images(folder: Path, scans: np.ndarray, targets: np.ndarray) -> None:
    """Class folders of PNG files, as an image folder loader wants them."""
    for number, (scan, target) in enumerate(zip(scans, targets, strict=True)):
        place = folder / str(target)
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{number}.png"), (scan[0] * 255).astype(np.uint8))


def monai(network: nn.Module, images: Path, side: int, batch: int, steps: int) -> float:
    """MONAI: CacheDataset (decoded scans in memory), its random transforms, its supervised trainer."""
    from ignite.engine import Events
    from monai import transforms
    from monai.data import CacheDataset, DataLoader
    from monai.engines import SupervisedTrainer

    logging.getLogger("ignite").setLevel(logging.ERROR)
    files = sorted(images.glob("*/*.png"))
    items = [{"image": str(path), "label": int(path.parent.name)} for path in files]
    chain = transforms.Compose(
        [
            transforms.LoadImaged("image", ensure_channel_first=True),
            transforms.ScaleIntensityd("image"),
            transforms.NormalizeIntensityd("image"),
            transforms.RandAffined(
                "image", prob=1, rotate_range=0.17, translate_range=0.06 * side, scale_range=0.1,
                padding_mode="reflection",
            ),
            transforms.RandAdjustContrastd("image", prob=1, gamma=(0.8, 1.2)),
            transforms.RandGaussianSmoothd("image", prob=1, sigma_x=(0.01, 0.6), sigma_y=(0.01, 0.6)),
            transforms.RandGaussianNoised("image", prob=1, std=0.02),
        ]
    )  # fmt: skip
    data = CacheDataset(items, chain, progress=False)
    trainer = SupervisedTrainer(
        torch.device("cpu"), 1, DataLoader(data, batch_size=batch, shuffle=True, drop_last=True), network,
        torch.optim.AdamW(network.parameters(), LR), nn.CrossEntropyLoss(), epoch_length=steps, amp=False,
    )  # fmt: skip
    times: list[float] = []
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: times.append(time.perf_counter()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.run()
    return speed([*times, time.perf_counter()], batch)


class PlainModule(pl.LightningModule):
    """The module of Lightning's own introduction."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.times: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        self.times.append(time.perf_counter())
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def on_train_end(self) -> None:
        self.times.append(time.perf_counter())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), LR)


def image_folder(network: nn.Module, images: Path, batch: int, steps: int) -> float:
    """Lightning with torchvision's ImageFolder: files decoded and changed anew each time, by two workers."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    change = v2.Compose(
        [
            v2.Grayscale(1),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomAffine(10, (0.06, 0.06), (0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR),
            v2.ColorJitter(0.1, 0.15),
            v2.GaussianBlur(3, (0.01, 0.6)),
            v2.GaussianNoise(sigma=0.02),
            v2.Normalize([0.5], [0.25]),
        ]
    )
    loader = DataLoader(
        ImageFolder(str(images), change), batch, shuffle=True, drop_last=True, num_workers=2,
        multiprocessing_context="forkserver",
    )  # fmt: skip
    clock = PlainModule(network)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, limit_train_batches=steps, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(clock, loader)
    return speed(clock.times, batch)
