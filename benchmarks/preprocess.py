"""What does preprocess cost beside decoding and resizing, and what does the store save?

Every file is 1024 x 1024: PNG of 8 bits, DICOM of 12 bits plain and as lossless JPEG 2000. Against ours: the
same files through the same libraries (Pillow or pydicom, then OpenCV) in the same processes, decoded, resized
as ours are (in float32, by area) and thrown away. Ours also checks that each file is the one in the manifest,
chooses its window, rescales, and writes the store with its statistics. Both sides start the same kind and
number of processes, and that time counts on both. Rounds alternate in one run; files are in the system's
cache for both. What decoding and resizing alone gains from a second process is what the machine gives: a row
without a bar, beside which to read ours.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    generate_uid,
)

from benchmarks.table import Row, is_quick, median, publish, spread
from scanlens.config.load import load_section
from scanlens.config.schema import Preprocess
from scanlens.preprocess import run
from scanlens.preprocess.run import preprocess
from scanlens.preprocess.store import Store
from scanlens.scaling.engine import Engine, Failed, map_ordered
from scanlens.sources.read import content_sha256

SIDE, SIZE, BATCH = 1024, 224, 32
DISTINCT = 32
"""Different pictures; the rest are copies, each a file of its own."""
TOGETHER = 8
"""Files a task of the bare loop, as many as our shards have rows."""
SOURCE: dict[str, Any] = {"kind": "folder", "dims": 2, "labels": ["a", "b"]}
Seconds = list[float]


@dataclass(frozen=True)
class Kind:
    """Files of one format.

    Attributes:
        name: For people.
        suffix: Of the files.
        decode: From a path to an array, ``(height, width)``, by the library that ours uses too.
        scans: How many there are in a quick run; fewer of what takes long to decode.
        bar: On our throughput against decoding and resizing.
    """

    name: str
    suffix: str
    decode: Callable[[Path], npt.NDArray[Any]]
    scans: int
    bar: str


def decode_png(path: Path) -> npt.NDArray[Any]:
    return np.asarray(Image.open(path))


def decode_dicom(path: Path) -> npt.NDArray[Any]:
    return dcmread(path).pixel_array


KINDS = (
    Kind("8-bit PNG", ".png", decode_png, 320, ">= 0.85"),
    Kind("12-bit DICOM, JPEG 2000", ".j2k.dcm", decode_dicom, 64, ">= 0.85"),
    # There is nothing to decode: hashing the bytes alone takes a third of what reading them does.
    Kind("12-bit DICOM, uncompressed", ".raw.dcm", decode_dicom, 320, ""),
)


def picture(number: int, bits: int) -> npt.NDArray[np.uint16]:
    """Smooth shades with a detector's noise: as hard to compress as a radiograph."""
    rng = np.random.default_rng(number)
    shades = cv2.resize(rng.random((16, 16), dtype=np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    noise = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    return np.clip((0.1 + 0.8 * shades + 0.01 * noise) * (1 << bits), 0, (1 << bits) - 1).astype(np.uint16)


def write_dicom(path: Path, pixels: npt.NDArray[np.uint16], *, compressed: bool) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.PixelData = pixels.tobytes()
    if compressed:
        dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")
    dataset.save_as(path, enforce_file_format=True)


def draw(folder: Path, kind: Kind, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number:05d}{kind.suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        if number >= DISTINCT:
            shutil.copyfile(paths[number % DISTINCT], path)
        elif kind.suffix == ".png":
            cv2.imwrite(str(path), picture(number, 8).astype(np.uint8))
        else:
            write_dicom(path, picture(number, 12), compressed="j2k" in kind.suffix)
    return paths


def manifest_of(paths: Sequence[Path], kind: Kind) -> pd.DataFrame:
    """What the manifest stage would say, but for its checks."""
    names = [path.name for path in paths]
    return pd.DataFrame(
        {
            "path": names,
            "scan_id": names,
            "patient": names,
            "group": names,
            "sha256": [content_sha256(path.parent, path.name) for path in paths],
            "label": [SOURCE["labels"][number % 2] for number in range(len(paths))],
            "split": [("train", "train", "val", "test")[number // 2 % 4] for number in range(len(paths))],
            "shape": [[SIDE, SIDE]] * len(paths),
            "spacing": [[]] * len(paths),
        }
    ).assign(status="ok", site="", mask="", modality="OT" if kind.suffix == ".png" else "DX", channels=1)


def ours(manifest: pd.DataFrame, root: Path, output: Path, workers: int) -> None:
    # Without the cache, which would decode the copies among the files once.
    engine = Engine("local", workers, None)
    preprocess(manifest, root, SOURCE, load_section(Preprocess), output, engine)


def shrink_all(kind: Kind, paths: list[Path]) -> None:
    for path in paths:
        cv2.resize(kind.decode(path).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def bare(paths: list[Path], kind: Kind, workers: int) -> None:
    tasks = [paths[start : start + TOGETHER] for start in range(0, len(paths), TOGETHER)]
    engine = Engine("local", workers, None)
    for done in map_ordered(partial(shrink_all, kind), tasks, engine=engine, total=len(tasks)):
        if isinstance(done, Failed):
            raise RuntimeError(done.reason)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rounds(works: Sequence[Callable[[], object]], count: int) -> list[Seconds]:
    """Time of each piece of work, in turns; the first turn starts the processes and does not count."""
    turns = [[seconds(work) for work in works] for _ in range(count + 1)][1:]
    return [list(times) for times in zip(*turns, strict=True)]


def speed_row(what: str, count: int, mine: Seconds, other: Seconds, bar: str) -> Row:
    """Scans a second of ours against another's; the ratio is the median over the rounds."""
    speeds = [[count / time for time in times] for times in (mine, other)]
    ratio = median([b / a for a, b in zip(mine, other, strict=True)])
    return Row(what, median(speeds[0]), median(speeds[1]), ratio, bar, len(mine), spread(speeds[0]))


def throughput(
    paths: list[Path], kind: Kind, manifest: pd.DataFrame, folder: Path, count: int
) -> Iterator[Row]:
    root = paths[0].parent
    works = [
        partial(ours, manifest, root, folder / "store", 2),
        partial(bare, paths, kind, 2),
        partial(ours, manifest, root, folder / "store", 1),
        partial(bare, paths, kind, 1),
    ]
    two, against, one, alone = rounds(works, count)
    scans = len(paths)
    name = f"{kind.name}: scans/s in 2 processes"
    yield speed_row(f"{name}, against decoding and resizing alone", scans, two, against, kind.bar)
    yield speed_row(f"{name}, against 1 process", scans, two, one, ">= 1.7" if kind.bar else "")
    yield speed_row(f"{name}, against 1 process, decoding and resizing alone", scans, against, alone, "")


def batch_reading(paths: list[Path], kind: Kind, folder: Path, count: int) -> Row:
    store = Store.open(folder / "store")
    rng = np.random.default_rng(0)
    mine, other = [], []
    for _ in range(3 * count):
        rows = rng.choice(len(store), BATCH, replace=False)
        mine.append(seconds(partial(store.read, rows)))
        other.append(seconds(partial(shrink_all, kind, [paths[row] for row in rows])))
    what = f"{kind.name}: scans/s of a random batch of {BATCH}, store against originals"
    return speed_row(what, BATCH, mine, other, ">= 20")


@contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def monai(paths: list[Path], folder: Path) -> None:
    """The first pass, which fills the cache on disk."""
    from monai.data import PersistentDataset
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Resized, ScaleIntensityRanged

    steps = Compose(
        [
            LoadImaged("image", image_only=True),
            EnsureChannelFirstd("image"),
            ScaleIntensityRanged("image", 0, 255, 0, 1, clip=True),
            Resized("image", (SIZE, SIZE), mode="area"),
        ]
    )
    with fresh(folder / "monai") as cache:
        dataset = PersistentDataset([{"image": str(path)} for path in paths], steps, cache_dir=cache)
        for number in range(len(dataset)):
            dataset[number]


def simple_itk(paths: list[Path]) -> None:
    import SimpleITK

    for path in paths:
        image = SimpleITK.ReadImage(str(path))
        scale = [(side - 1) / (SIZE - 1) for side in image.GetSize()[:2]]
        if image.GetDimension() == 3:
            image = image[:, :, 0]
        grid = [step * by for step, by in zip(image.GetSpacing(), scale, strict=True)]
        smooth = SimpleITK.SmoothingRecursiveGaussian(
            SimpleITK.Cast(image, SimpleITK.sitkFloat32), [step / 2 for step in grid]
        )
        SimpleITK.GetArrayFromImage(
            SimpleITK.Resample(
                smooth,
                [SIZE, SIZE],
                SimpleITK.Transform(),
                SimpleITK.sitkLinear,
                image.GetOrigin(),
                grid,
                image.GetDirection(),
            )
        )


def peers(paths: list[Path], kind: Kind, manifest: pd.DataFrame, folder: Path, count: int) -> Iterator[Row]:
    """Others on the same files, one process each, for orientation."""
    import SimpleITK
    import torch

    torch.set_num_threads(1)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    names = {
        "MONAI LoadImaged + PersistentDataset": partial(monai, paths, folder),
        "SimpleITK read + smooth + resample": partial(simple_itk, paths),
        f"plain {'Pillow' if kind.suffix == '.png' else 'pydicom'} + OpenCV": partial(
            shrink_all, kind, paths
        ),
    }
    mine, *others = rounds(
        [partial(ours, manifest, paths[0].parent, folder / "peer-store", 0), *names.values()],
        max(count // 2, 2),
    )
    for name, times in zip(names, others, strict=True):
        yield speed_row(f"{kind.name}: scans/s in 1 process, against {name}", len(paths), mine, times, "")


def main() -> None:
    quick = is_quick()
    times, count, beside = (1, 3, 64) if quick else (4, 9, 128)
    # However few the scans: the question is what each costs, not when processes are worth starting.
    run.POOL_FROM_PIXELS = 0
    cv2.setNumThreads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        for kind in KINDS:
            folder = Path(name) / kind.suffix
            folder.mkdir()
            paths = draw(folder / "scans", kind, times * kind.scans)
            manifest = manifest_of(paths, kind)
            rows.extend(throughput(paths, kind, manifest, folder, count))
            rows.append(batch_reading(paths, kind, folder, count))
            rows.extend(peers(paths[:beside], kind, manifest[:beside], folder, count))
            shutil.rmtree(folder)
    publish("preprocess", rows)


if __name__ == "__main__":
    main()
