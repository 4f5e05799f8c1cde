"""DICOM files mean the same here as to pydicom's own decoding, and damaged ones are refused early."""

from __future__ import annotations

import logging
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from scanlens.errors import UnreadableScan
from scanlens.sources.read import read_scan
from scanlens.types import Scan

STORED = (np.arange(5 * 7, dtype=np.uint16) * 100).reshape(5, 7)


def read(path: Path, *, dims: int = 2, max_pixels: int = 10**7) -> Scan:
    return read_scan(path.parent, path.name, dims=dims, max_pixels=max_pixels)


def dataset(stored: np.ndarray = STORED, syntax: str = ExplicitVRLittleEndian, **tags: object) -> FileDataset:
    """A 12-bit grey image; keywords set or (None) delete elements."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    values = {
        "SOPClassUID": SecondaryCaptureImageStorage,
        "SOPInstanceUID": "1.2.3",
        "PatientID": "Doe-17 ",
        "Modality": "CR",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": stored.shape[-2],
        "Columns": stored.shape[-1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
    }
    if stored.ndim == 3:
        values["NumberOfFrames"] = len(stored)
    for keyword, value in (values | tags).items():
        if value is not None:
            setattr(made, keyword, value)
    made.add_new("PixelData", "OW", stored.tobytes())
    return made


def save(folder: Path, made: Dataset, name: str = "a.dcm") -> Path:
    made.save_as(folder / name, enforce_file_format=True)
    return folder / name


def item(**tags: object) -> Dataset:
    made = Dataset()
    for keyword, value in tags.items():
        setattr(made, keyword, value)
    return made


def test_header_values(tmp_path: Path) -> None:
    tags = {"PixelSpacing": [0.2, 0.3], "WindowCenter": [2048, 9], "WindowWidth": [4096, 9]}
    scan = read(save(tmp_path, dataset(BurnedInAnnotation="YES", **tags)))
    np.testing.assert_array_equal(scan.pixels, STORED[None])
    assert scan.pixels.dtype == np.float32
    assert (scan.spacing, scan.window) == ((0.2, 0.3), (0.0, 4095.0))
    assert (scan.modality, scan.photometric, scan.bits) == ("CR", "MONOCHROME2", 12)
    assert (scan.patient, scan.burned_in) == ("Doe-17", True)


def test_spacing_of_the_imager_and_none(tmp_path: Path) -> None:
    assert read(save(tmp_path, dataset(ImagerPixelSpacing=[0.1, 0.2]))).spacing == (0.1, 0.2)
    assert read(save(tmp_path, dataset(PixelSpacing=[0, 0.2]))).spacing is None
    assert read(save(tmp_path, dataset(BurnedInAnnotation="NO"))).burned_in is False
    assert read(save(tmp_path, dataset())).burned_in is None


def test_rescale_gives_units(tmp_path: Path) -> None:
    scan = read(save(tmp_path, dataset(RescaleSlope=2, RescaleIntercept=-1024)))
    np.testing.assert_array_equal(scan.pixels[0], STORED * 2.0 - 1024)


def test_empty_slope_means_none(tmp_path: Path) -> None:
    np.testing.assert_array_equal(
        read(save(tmp_path, dataset(RescaleSlope="", RescaleIntercept=""))).pixels[0], STORED
    )


def test_monochrome1_is_mirrored_within_its_bits(tmp_path: Path) -> None:
    tags = {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 1000.5, "WindowWidth": 201}
    scan = read(save(tmp_path, dataset(**tags)))
    np.testing.assert_array_equal(scan.pixels[0], 4095 - STORED)
    assert scan.window == (4095 - 1100, 4095 - 900)
    scaled = read(save(tmp_path, dataset(RescaleSlope=2, RescaleIntercept=10, **tags)))
    np.testing.assert_array_equal(scaled.pixels[0], (4095 - STORED) * 2.0 + 10)


def test_signed_monochrome1(tmp_path: Path) -> None:
    signed = STORED.astype(np.int16) // 2 - 500
    scan = read(
        save(tmp_path, dataset(signed, PhotometricInterpretation="MONOCHROME1", PixelRepresentation=1))
    )
    np.testing.assert_array_equal(scan.pixels[0], -1.0 - signed)


@pytest.mark.parametrize(
    ("function", "window"),
    [("LINEAR", (900.0, 1100.0)), ("LINEAR_EXACT", (900.0, 1101.0)), ("SIGMOID", (900.0, 1101.0))],
)
def test_window_functions(tmp_path: Path, function: str, window: tuple[float, float]) -> None:
    made = dataset(WindowCenter=1000.5, WindowWidth=201, VOILUTFunction=function)
    assert read(save(tmp_path, made)).window == window


def test_window_of_a_voi_lut(tmp_path: Path) -> None:
    lut = item(LUTDescriptor=[8, 100, 16])
    lut.add_new("LUTData", "US", [0, 0, 0, 10, 20, 30, 30, 30])
    scan = read(save(tmp_path, dataset(VOILUTSequence=Sequence([lut]))))
    assert scan.window == (102.0, 105.0)


@pytest.mark.parametrize("width", [0, 1, -5])
def test_senseless_windows_are_none(tmp_path: Path, width: int) -> None:
    assert read(save(tmp_path, dataset(WindowCenter=5, WindowWidth=width))).window is None


def test_frames_are_a_volume_or_the_middle_one(tmp_path: Path) -> None:
    frames = np.stack([STORED, STORED + 1, STORED + 2, STORED + 3])
    path = save(tmp_path, dataset(frames, PixelSpacing=[0.2, 0.3], SliceThickness=5))
    volume, image = read(path, dims=3), read(path, dims=2)
    np.testing.assert_array_equal(volume.pixels, frames[None])
    np.testing.assert_array_equal(image.pixels, frames[2][None])
    assert (volume.spacing, image.spacing) == ((5.0, 0.2, 0.3), (0.2, 0.3))


def test_units_of_each_frame(tmp_path: Path) -> None:
    groups = [
        item(
            PixelValueTransformationSequence=Sequence([item(RescaleSlope=slope, RescaleIntercept=0)]),
            FrameVOILUTSequence=Sequence([item(WindowCenter=100.5, WindowWidth=slope * 100 + 1)]),
        )
        for slope in (1, 2)
    ]
    measures = item(PixelSpacing=[0.5, 0.5], SliceThickness=2)
    shared = item(PixelMeasuresSequence=Sequence([measures]))
    made = dataset(np.stack([STORED, STORED]))
    made.PerFrameFunctionalGroupsSequence = Sequence(groups)
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    path = save(tmp_path, made)
    np.testing.assert_array_equal(read(path, dims=3).pixels[0], np.stack([STORED, STORED * 2]))
    assert read(path, dims=3).spacing == (2.0, 0.5, 0.5)
    image = read(path, dims=2)
    np.testing.assert_array_equal(image.pixels[0], STORED * 2)
    assert image.window == (0.0, 200.0)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_without_preamble(tmp_path: Path, syntax: str) -> None:
    made = dataset(syntax=syntax)
    del made.file_meta
    made.preamble = None
    made.save_as(tmp_path / "a", implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    assert (tmp_path / "a").read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(read(tmp_path / "a").pixels[0], STORED)


def test_deflated(tmp_path: Path) -> None:
    np.testing.assert_array_equal(
        read(save(tmp_path, dataset(syntax=DeflatedExplicitVRLittleEndian))).pixels[0], STORED
    )


def test_deflate_bomb(tmp_path: Path) -> None:
    path = save(tmp_path, dataset(syntax=DeflatedExplicitVRLittleEndian))
    meta = 144 + pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = b"".join(packer.compress(bytes(1 << 20)) for _ in range(80)) + packer.flush()
    path.write_bytes(path.read_bytes()[:meta] + zeros)
    with pytest.raises(UnreadableScan, match="inflates to far more"):
        read(path, max_pixels=1000)


def test_codestream_larger_than_its_header_says(shared_data: Path, tmp_path: Path) -> None:
    raw = (shared_data / "dicom" / "MR2_J2KR.dcm").read_bytes()
    at = raw.index(b"\xff\x4f\xff\x51")
    (tmp_path / "a.dcm").write_bytes(raw[: at + 8] + b"\0\1\0\0\0\1\0\0" + raw[at + 16 :])
    with pytest.raises(UnreadableScan, match="a compressed frame of 4294967296 pixels"):
        read(tmp_path / "a.dcm")


def test_padding_with_zeros_does_not_hang(tmp_path: Path) -> None:
    path = save(tmp_path, dataset())
    with path.open("r+b") as file:
        file.truncate(1 << 25)
    np.testing.assert_array_equal(read(path).pixels[0], STORED)
    path.write_bytes(bytes(128) + b"DICM" + bytes(1 << 25))
    with pytest.raises(UnreadableScan, match="zeros where"):
        read(path)


def test_more_data_than_the_image(tmp_path: Path) -> None:
    path = save(tmp_path, dataset())
    with path.open("r+b") as file:
        file.truncate(1 << 30)  # a hole in the file, nothing on disk
    with pytest.raises(UnreadableScan, match="far more data"):
        read(path)


@pytest.mark.parametrize(
    ("tags", "dims", "reason"),
    [
        ({"Rows": 0}, 2, "absurd dimensions: 1 x 0 x 7"),
        ({"Columns": None}, 2, "absurd dimensions"),
        ({"Rows": 60000, "Columns": 60000}, 2, "more than the 10000000 allowed"),
        ({"NumberOfFrames": 10**6}, 2, "more than the 10000000 allowed"),
        ({"NumberOfFrames": 0}, 2, "absurd dimensions"),
        ({"PhotometricInterpretation": None}, 2, "photometric interpretation"),
        ({"PhotometricInterpretation": "HSV"}, 2, "photometric interpretation"),
        ({"SamplesPerPixel": 3}, 2, "samples per pixel"),
        ({"Rows": 50}, 2, "truncated or corrupt"),
        ({"RescaleSlope": "1e38", "RescaleIntercept": 0}, 2, "not all finite"),
        ({}, 3, r"set data\.dims=2"),
    ],
)
def test_refused(tmp_path: Path, tags: dict[str, object], dims: int, reason: str) -> None:
    with pytest.raises(UnreadableScan, match=reason):
        read(save(tmp_path, dataset(**tags)), dims=dims)


def test_no_pixels(tmp_path: Path) -> None:
    made = dataset()
    del made.PixelData
    with pytest.raises(UnreadableScan, match="holds no pixel data"):
        read(save(tmp_path, made))


def test_nothing_of_the_file_reaches_logs_or_reasons(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = save(tmp_path, dataset(PatientBirthDate="SECRETDOE"))
    raw = path.read_bytes()
    caplog.clear()
    with warnings.catch_warnings(record=True) as seen, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        read(path)
        for cut in range(150, len(raw), 40):
            (tmp_path / "cut").write_bytes(raw[:cut])
            with pytest.raises(UnreadableScan) as refused:
                read(tmp_path / "cut")
            assert "DOE" not in str(refused.value)
    assert not seen
    assert not caplog.records


def test_conformance_files_agree_with_pydicom(shared_data: Path) -> None:
    accepted = 0
    for path in sorted((shared_data / "dicom").glob("*.dcm")):
        try:
            scan = read(path)
        except UnreadableScan:
            continue
        accepted += 1
        np.testing.assert_allclose(scan.pixels, reference(path), rtol=1e-6, atol=1e-6, err_msg=path.name)
    assert accepted >= 72


def reference(path: Path) -> np.ndarray:
    """Pydicom's decoding, arranged as a Scan: middle frame, channels first, equal channels as one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = pydicom.dcmread(path, force=True)
        if "TransferSyntaxUID" not in source.file_meta:
            source.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        frames = int(source.get("NumberOfFrames", 1) or 1)
        values = pixel_array(source)
        values = values[frames // 2] if frames > 1 else values
        if source.PhotometricInterpretation == "PALETTE COLOR":
            values = apply_color_lut(values, source)[..., :3]
        elif source.PhotometricInterpretation.startswith("MONOCHROME"):
            shared = source.get("SharedFunctionalGroupsSequence") or [source]
            per_frame = source.get("PerFrameFunctionalGroupsSequence") or [source] * frames
            values = apply_modality_lut(values, source)
            for holder in (shared[0], per_frame[frames // 2]):
                inner = holder.get("PixelValueTransformationSequence")
                values = apply_modality_lut(values, inner[0]) if inner else values
        if source.PhotometricInterpretation == "MONOCHROME1":
            values = (1 << source.BitsStored) - 1.0 - values
    channels = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    return channels[:1] if (channels == channels[:1]).all() else channels
