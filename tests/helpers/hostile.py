"""Files that mean harm: fuzzed headers, bombs that unpack to gigabytes, and what is no file at all.

Everything is made from a seed and small on disk; nothing here is a scan of anybody.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import cv2
import nibabel
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

SIDE = 48
HUGE = 50_000
_BLOCK = 1 << 24  # zeros, packed once and repeated: gigabytes from kilobytes in no time
_HEAD = 512


def picture() -> np.ndarray:
    """Noise on a ramp, uint8, ``(SIDE, SIDE)``."""
    noise = np.random.default_rng(0).integers(0, 100, (SIDE, SIDE))
    return (noise + np.linspace(0, 155, SIDE)).astype(np.uint8)


def dicom(pixels: np.ndarray | bytes, syntax: UID = ExplicitVRLittleEndian, **elements: object) -> bytes:
    """A DICOM file with these elements, however little sense they make."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3"
    dataset.PatientID, dataset.Modality = "x", "CT"
    dataset.Rows = dataset.Columns = SIDE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = (
        CTImageStorage,
        "1.2.3",
    )
    dataset.PixelData = pixels if isinstance(pixels, bytes) else pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    if syntax == RLELossless:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(RLELossless)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def jpeg2000(width: int = SIDE, height: int = SIDE) -> bytes:
    """A JPEG 2000 codestream of :func:`picture` whose SIZ declares another size."""
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
    code = bytearray(stream.getvalue())
    assert code[2:4] == b"\xff\x51"
    code[8:16] = struct.pack(">II", width, height)
    code[24:32] = struct.pack(">II", width, height)  # one tile
    return bytes(code)


def nifti(volume: np.ndarray) -> bytes:
    """An uncompressed NIfTI-1 file."""
    return nibabel.Nifti1Image(volume, np.eye(4)).to_bytes()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk with its check sum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, data: bytes) -> bytes:
    """A grey 8-bit PNG of a declared size around packed rows."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    )


def tiff(width: int, height: int, next_directory: int = 0) -> bytes:
    """A grey 8-bit TIFF of a declared size, one strip of nothing; optionally a directory that leads on."""
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1),
        (273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, width * height % (1 << 32)),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + struct.pack("<H", len(tags))
        + entries
        + struct.pack("<I", next_directory)
    )


def nested_dicom(depth: int) -> bytes:
    """A DICOM file of sequences in sequences, which a recursive parser follows to the end of its stack."""
    item = struct.pack("<HH", 0x0008, 0x1140) + b"SQ\0\0" + struct.pack("<I", 0xFFFFFFFF)
    item += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    plain = dicom(picture())
    at = plain.index(struct.pack("<HH", 0x0010, 0x0020))
    return plain[:at] + item * depth + plain[at:]


def seeds() -> dict[str, bytes]:
    """One sound small file of each format, by its suffix."""
    image = picture()
    volume = np.repeat(image[None].astype(np.int16), 8, axis=0)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.png", cv2.imencode(".png", image)[1].tobytes())
    tif = io.BytesIO()
    Image.fromarray(image).save(tif, "TIFF", compression="tiff_lzw")
    webp = io.BytesIO()
    Image.fromarray(image).save(webp, "WEBP", lossless=True)
    nrrd = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 8 8 36\nencoding: raw\nendian: little\n\n"
    mha = (
        b"ObjectType = Image\nNDims = 3\nDimSize = 8 8 36\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    )
    return {
        "dcm": dicom(image),
        "rle.dcm": dicom(image, RLELossless),
        "j2k.dcm": dicom(encapsulate([jpeg2000()]), JPEG2000Lossless),
        "deflated.dcm": dicom(image, DeflatedExplicitVRLittleEndian),
        "nii": nifti(volume),
        "nii.gz": gzip.compress(nifti(volume), mtime=0),
        "png": cv2.imencode(".png", image)[1].tobytes(),
        "jpg": cv2.imencode(".jpg", image)[1].tobytes(),
        "tif": tif.getvalue(),
        "webp": webp.getvalue(),
        "bmp": cv2.imencode(".bmp", image)[1].tobytes(),
        "nrrd": nrrd + image.tobytes(),
        "mha": mha + image.tobytes(),
        "zip": packed.getvalue(),
    }


def write_fuzzed(folder: Path, each: int, seed: int = 0) -> int:
    """Write so many damaged variants of each seed file; returns how many files that is."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for suffix, sound in seeds().items():
        for number in range(each):
            content = bytearray(sound)
            head = min(len(content), _HEAD)
            for place in rng.integers(0, head, rng.integers(1, 13)):
                content[place] = rng.choice([0, 255, content[place] ^ 1 << rng.integers(0, 8)])
            if number % 3 == 0:
                content = content[: rng.integers(1, len(content))]
            (folder / f"{number:03}.{suffix}").write_bytes(content)
    return each * len(seeds())


def write_bombs(folder: Path) -> dict[str, str]:
    """Write files that ask for more than there is.

    Returns:
        For each the pattern of its reason; an empty one where several are right.
    """
    zeros = zlib.compress(bytes(_BLOCK), 9)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = deflater.compress(bytes(_BLOCK)) + deflater.flush(zlib.Z_FULL_FLUSH)
    deflated = dicom(picture(), DeflatedExplicitVRLittleEndian)
    inflated = zlib.decompress(deflated[_deflated_at(deflated) :], -zlib.MAX_WBITS)
    head = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = head.compress(inflated) + head.flush(zlib.Z_FULL_FLUSH)
    half = nifti(np.zeros((600, 600, 1), np.float32))[:352]
    half = half[:42] + struct.pack("<8h", 3, 600, 600, 600, 1, 1, 1, 1)[2:] + half[56:]
    gz_block = gzip.compress(bytes(_BLOCK), mtime=0)
    with_bomb = io.BytesIO()
    with zipfile.ZipFile(with_bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.dcm", bytes(_BLOCK))
        archive.writestr("../../outside.png", cv2.imencode(".png", picture())[1].tobytes())
    files = {
        "header.png": (png(HUGE, HUGE, zeros), "more than"),
        "header.tif": (tiff(HUGE, HUGE), "more than"),
        "header.bmp": (_bmp(HUGE, HUGE), "more than"),
        "header.dcm": (dicom(bytes(64), Rows=HUGE, Columns=HUGE), "more than"),
        "frames.dcm": (dicom(bytes(64), NumberOfFrames=2_000_000_000), "more than"),
        "siz.dcm": (dicom(encapsulate([jpeg2000(HUGE, HUGE)]), JPEG2000Lossless), "more than"),
        "siz_below_limit.dcm": (
            dicom(encapsulate([jpeg2000(16_000, 16_000)]), JPEG2000Lossless, Rows=16_000, Columns=16_000), "",
        ),
        "just_below_limit.png": (png(16_000, 16_000, _zeros_stream(16_000 * 16_001)), ""),
        "volume.nii.gz": (gzip.compress(half, mtime=0) + gz_block * 52, "more"),
        "longer_than_declared.nii.gz": (
            gzip.compress(nifti(np.ones((9, 9, 9), np.uint8)), mtime=0) + gz_block * 64, "",
        ),
        "inflated.dcm": (deflated[: _deflated_at(deflated)] + start + block * 256, "inflates"),
        "sizes.nrrd": (
            b"NRRD0004\ntype: float\ndimension: 3\nsizes: 9000 9000 9000\nencoding: raw\nendian: little\n\n",
            "more than",
        ),
        "elsewhere.nrrd": (
            b"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 9 9\nencoding: raw\ndata file: /etc/passwd\n\n", "",
        ),
        "loop.tif": (tiff(SIDE, SIDE, next_directory=8), ""),
        "nested.dcm": (nested_dicom(20_000), ""),
        "zip.zip": (with_bomb.getvalue(), ""),
    }  # fmt: skip
    folder.mkdir(parents=True)
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    with (folder / "sparse.dcm").open("wb") as file:
        file.write(dicom(picture())[:-10])
        file.truncate(1 << 36)
    return {name: pattern for name, (_, pattern) in files.items()} | {"sparse.dcm": ""}


def write_oddities(folder: Path, outside: Path) -> dict[str, str]:
    """Put down what is no scan: pipes, folders, loops, links that lead out, pages in disguise.

    Returns:
        The pattern of each one's reason.
    """
    folder.mkdir(parents=True)
    outside.mkdir(parents=True)
    (outside / "secret.png").write_bytes(cv2.imencode(".png", picture())[1].tobytes())
    os.mkfifo(folder / "pipe.dcm")
    (folder / "loop.dcm").symlink_to("loop.dcm")
    (folder / "round").symlink_to(".")
    (folder / "outside.png").symlink_to(outside / "secret.png")
    (folder / "zero.dcm").symlink_to("/dev/zero")
    (folder / "gone.dcm").symlink_to("nowhere")
    (folder / "page.dcm").write_text("<!DOCTYPE html><html><body>Log in</body></html>\n" * 20)
    (folder / "empty.dcm").touch()
    (folder / "folder.dcm").mkdir()
    (folder / "folder.dcm" / "inside.png").write_bytes(cv2.imencode(".png", picture())[1].tobytes())
    (folder / "line\nbreak.png").write_bytes(cv2.imencode(".png", picture())[1].tobytes())
    return {
        "pipe.dcm": "not a regular file",
        "loop.dcm": "loop of symbolic links",
        "round": "listed already",
        "outside.png": "outside",
        "zero.dcm": "outside",
        "gone.dcm": "not found",
        "page.dcm": "not an image",
        "empty.dcm": "empty",
        "folder.dcm/inside.png": "",
        "line\nbreak.png": "",
    }


def _deflated_at(content: bytes) -> int:
    """Where the deflated data set begins: behind the file meta, whose length its first element gives."""
    return 132 + 12 + struct.unpack_from("<I", content, 140)[0]


def _zeros_stream(count: int) -> bytes:
    """So many zeros, as one zlib stream."""
    packer = zlib.compressobj(1)
    return (
        b"".join(packer.compress(bytes(min(_BLOCK, count - at))) for at in range(0, count, _BLOCK))
        + packer.flush()
    )


def _bmp(width: int, height: int) -> bytes:
    return struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 1, 1, 0, 0)
