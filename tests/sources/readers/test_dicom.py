"""DICOM files mean the same here as to pydicom's own decoding, and damaged ones are refused early."""

from __future__ import annotations

import io
import logging
import pickle
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from scanlens.errors import UnreadableScan
from scanlens.sources.read import read_scan
from scanlens.sources.readers.dicom import read_dicom
from scanlens.types import Scan
from tests.helpers.dicom import STORED, dataset, enhanced, item, save

UPRIGHT = (1, 0, 0, 0, 1, 0)


def read(path: Path, *, dims: int = 2, max_pixels: int = 10**7) -> Scan:
    return read_scan(path.parent, path.name, dims=dims, max_pixels=max_pixels)


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


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize(("ratio", "scale"), [([1, 2], (1, 2)), ([3, 1], (3, 1)), ([2, 2], (1, 1))])
def test_pixels_that_are_no_squares_keep_the_proportions(
    tmp_path: Path, ratio: list[int], scale: tuple[int, int], spaced: bool
) -> None:
    spacing = {"PixelSpacing": [0.2, 0.3]} if spaced else {}
    scan = read(save(tmp_path, dataset(PixelAspectRatio=ratio, PixelPaddingValue=300, **spacing)))
    rows, columns = (1, 1) if spaced else scale
    expected = np.where(STORED == 300, 0, STORED).repeat(rows, axis=0).repeat(columns, axis=1)
    np.testing.assert_array_equal(scan.pixels[0], expected)
    assert scan.spacing == ((0.2, 0.3) if spaced else None)
    assert scan.padding is not None
    assert scan.padding.sum() == rows * columns


def test_pixels_of_ratio_three_to_two(tmp_path: Path) -> None:
    scan = read(save(tmp_path, dataset(np.stack([STORED, STORED]), PixelAspectRatio=[3, 2])), dims=3)
    assert scan.pixels.shape == (1, 2, 8, 7)
    with pytest.raises(UnreadableScan, match="5 x 7000 pixels once they are square"):
        read(save(tmp_path, dataset(PixelAspectRatio=[1, 1000])), max_pixels=30_000)


SPECT = {"ImageType": ["DERIVED", "PRIMARY", "RECON TOMO", "EMISSION"], "Modality": "NM"}


def spect(step: float, **tags: object) -> FileDataset:
    """Three slices whose stored values say where they lie, with the position in the detector."""
    frames = np.stack([STORED, STORED + 1, STORED + 2])
    place = item(ImagePositionPatient=[0, 0, 40], ImageOrientationPatient=list(UPRIGHT))
    values = {"PixelSpacing": [2, 3], "SpacingBetweenSlices": step, **SPECT}
    return dataset(frames, **{**values, "DetectorInformationSequence": Sequence([place]), **tags})


@pytest.mark.parametrize(("step", "first"), [(4, 0), (-4, 2)])
def test_slices_of_spect_lie_behind_or_before_the_first(tmp_path: Path, step: float, first: int) -> None:
    scan = read(save(tmp_path, spect(step)), dims=3)
    assert (scan.spacing, scan.orientation) == ((4.0, 2.0, 3.0), "SPL")
    assert scan.pixels[0, :, 0, 0].tolist() == [first, 1, 2 - first]
    assert scan.affine is not None
    assert scan.affine[2, 3] == min(40, 40 + 2 * step)


def test_slices_of_spect_without_a_place_keep_their_distance(tmp_path: Path) -> None:
    scan = read(save(tmp_path, spect(-4, DetectorInformationSequence=None)), dims=3)
    assert (scan.spacing, scan.orientation) == ((4.0, 2.0, 3.0), "")


def test_the_slice_vector_orders_slices_of_spect(tmp_path: Path) -> None:
    scan = read(save(tmp_path, spect(4, SliceVector=[2, 1, 3])), dims=3)
    assert scan.pixels[0, :, 0, 0].tolist() == [1, 0, 2]
    repeated = read(save(tmp_path, spect(4, SliceVector=[1, 1, 2])), dims=3)
    assert (repeated.pixels[0, :, 0, 0].tolist(), repeated.orientation) == ([0, 1, 2], "")


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
        ({"Columns": None}, 2, "Columns is missing"),
        ({"Rows": 60000, "Columns": 60000}, 2, "more than the 10000000 allowed"),
        ({"NumberOfFrames": 10**6}, 2, "more than the 10000000 allowed"),
        ({"PhotometricInterpretation": None}, 2, "PhotometricInterpretation is missing"),
        ({"PhotometricInterpretation": "HSV"}, 2, "PhotometricInterpretation is not supported"),
        ({"SamplesPerPixel": 3}, 2, "SamplesPerPixel contradicts"),
        ({"Rows": 50}, 2, "truncated: 70 of 700 bytes"),
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


def test_a_frame_is_chosen(tmp_path: Path) -> None:
    path = save(tmp_path, dataset(np.stack([STORED, STORED + 1, STORED + 2])))
    for frame in range(3):
        scan = read_dicom(path, "a", dims=2, max_pixels=10**6, frame=frame)
        np.testing.assert_array_equal(scan.pixels[0], STORED + frame)
    for frame in (3, -1):
        with pytest.raises(UnreadableScan, match=f"no frame {frame}: it has 3"):
            read_dicom(path, "a", dims=2, max_pixels=10**6, frame=frame)
    with pytest.raises(UnreadableScan, match=r"set data\.dims=2"):
        read_dicom(path, "a", dims=3, max_pixels=10**6, frame=0)


@pytest.mark.parametrize("signed", [False, True])
def test_overlays_in_unused_bits_are_ignored(tmp_path: Path, signed: bool) -> None:
    stored = STORED.astype(np.int16) - 2000 * signed
    overlaid = (stored.view(np.uint16) & 0x0FFF) | np.uint16(0x5000)
    made = dataset(overlaid.astype(np.uint16), PixelRepresentation=int(signed))
    made.add_new((0x6000, 0x0100), "US", 16)
    made.add_new((0x6000, 0x0102), "US", 12)
    np.testing.assert_array_equal(read(save(tmp_path, made)).pixels[0], stored)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("high", [15, 13])
def test_pixels_in_the_upper_bits(tmp_path: Path, signed: bool, high: int) -> None:
    stored = STORED.astype(np.int16) - 2000 * signed
    moved = (stored.astype(np.uint16) << (high - 11)) | np.uint16(1)
    made = dataset(moved.astype(np.uint16), PixelRepresentation=int(signed), HighBit=high)
    np.testing.assert_array_equal(read(save(tmp_path, made)).pixels[0], stored)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("entry_bits", [8, 16])
def test_palette_in_either_byte_order(tmp_path: Path, syntax: str, entry_bits: int) -> None:
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    table = np.arange(6, dtype=np.uint8) * 40
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    made = dataset(stored, syntax, PhotometricInterpretation="PALETTE COLOR", BitsStored=8, HighBit=7)
    made.BitsAllocated = 8
    made["PixelData"].VR = "OB"
    for number, colour in enumerate(("Red", "Green", "Blue")):
        setattr(made, f"{colour}PaletteColorLookupTableDescriptor", [6, 0, entry_bits])
        entries = table + number
        words = entries.view("<u2") if entry_bits == 8 else entries.astype(np.uint16) * 256
        made.add_new(f"{colour}PaletteColorLookupTableData", "OW", words.astype(f"{order}u2").tobytes())
    scan = read(save(tmp_path, made))
    expected = np.stack([table + number for number in range(3)]).reshape(3, 2, 3)
    np.testing.assert_array_equal(scan.pixels, expected * (1.0 if entry_bits == 8 else 256.0))
    assert scan.bits == entry_bits


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_baseline(tmp_path: Path, mode: str) -> None:
    ramp = np.linspace(0, 255, 32 * 48).reshape(32, 48)
    values = np.stack([ramp, ramp.T.reshape(32, 48), ramp[::-1]], axis=-1).astype(np.uint8)
    picture = Image.fromarray(values if mode == "RGB" else values[..., 0])
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, subsampling=0)
    colour = {"PhotometricInterpretation": "YBR_FULL", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    tags = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7} | (colour if mode == "RGB" else {})
    made = dataset(np.zeros((32, 48), np.uint8), JPEGBaseline8Bit, **tags)
    made.PixelData = encapsulate([buffer.getvalue()])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    decoded = np.asarray(Image.open(buffer), dtype=np.float32)
    expected = np.moveaxis(decoded, -1, 0) if mode == "RGB" else decoded[None]
    scan = read(save(tmp_path, made))
    np.testing.assert_allclose(scan.pixels, expected, atol=4)
    assert np.abs(scan.pixels - expected).mean() < 1


@pytest.mark.parametrize("large", [False, True])
def test_compressed_pixels_under_an_uncompressed_syntax(tmp_path: Path, large: bool) -> None:
    side = 2000 if large else 16  # large values are left on disk
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    made = dataset(noise, JPEGBaseline8Bit, BitsAllocated=8, BitsStored=8, HighBit=7)
    made.PixelData = encapsulate([buffer.getvalue()])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    path = save(tmp_path, made)
    content = path.read_bytes()
    native = str(ExplicitVRLittleEndian).encode()
    stated = str(JPEGBaseline8Bit).encode()
    path.write_bytes(content.replace(stated, native.ljust(len(stated), b"\0"), 1))
    with pytest.raises(UnreadableScan, match=r"its pixels are compressed, but .*Explicit VR Little Endian"):
        read(path)


def test_uncompressed_pixels_under_a_compressed_syntax(tmp_path: Path) -> None:
    path = save(tmp_path, dataset())
    longer = str(JPEGBaseline8Bit).encode()
    content = path.read_bytes()
    stated = str(ExplicitVRLittleEndian).encode() + b"\0"
    place = content.index(stated) - 2
    meta = bytearray(content.replace(content[place : place + 2] + stated, struct.pack("<H", 22) + longer, 1))
    meta[140] += 2  # the length of the file meta
    path.write_bytes(meta)
    with pytest.raises(UnreadableScan, match=r"its pixels are uncompressed, but .*JPEG Baseline"):
        read(path)


def test_header_text(tmp_path: Path) -> None:
    made = dataset(
        PatientName="Doe^Jane",
        StudyDate="20200131",
        ImageComments="x" * 999,
        ImageType=["ORIGINAL", "PRIMARY"],
        SpecificCharacterSet="ISO_IR 192",
        InstitutionName="Spital Zürich",
        OtherPatientIDsSequence=Sequence([item(PatientID="other-1"), item(PatientID="other-2")]),
    )
    made.add_new((0x0029, 0x0010), "LO", "MAKER")
    made.add_new((0x0029, 0x1010), "LO", "private Doe")
    made.add_new((0x0029, 0x1011), "UN", b"unknown Doe ")
    made.add_new((0x0029, 0x1012), "OB", bytes(16))
    made.file_meta.SourceApplicationEntityTitle = "WARD7"
    header = read(save(tmp_path, made)).header
    assert header["PatientName"] == "Doe^Jane"
    assert header["InstitutionName"] == "Spital Zürich"
    assert header["ImageComments"] == "x" * 256
    assert header["ImageType"] == "ORIGINAL\\PRIMARY"
    assert header["OtherPatientIDsSequence.PatientID"] == "other-1"
    assert header["OtherPatientIDsSequence[2].PatientID"] == "other-2"
    assert (header["(0029,1010)"], header["(0029,1011)"]) == ("private Doe", "unknown Doe")
    assert header["SourceApplicationEntityTitle"] == "WARD7"
    assert header["Rows"] == "5"
    assert not {"PixelData", "(0029,1012)", "OtherPatientIDsSequence"} & set(header)


def test_header_in_another_process_and_in_print(tmp_path: Path) -> None:
    path = save(tmp_path, dataset(PatientName="Doe^Jane"))
    scan = read(path)
    path.unlink()  # an unpacked copy may be gone before the header is asked for
    assert "Doe" not in repr(scan) + repr(scan.header)
    copied = pickle.loads(pickle.dumps(scan))
    assert copied.header == dict(scan.header)
    assert (type(copied.header), copied.header["PatientName"]) == (dict, "Doe^Jane")


def test_header_without_preamble_and_with_a_malformed_value(tmp_path: Path) -> None:
    made = dataset(syntax=ImplicitVRLittleEndian, AccessionNumber="A-17", Exposure="12")
    made.add_new((0x0029, 0x0010), "LO", "MAKER")
    made.add_new((0x0029, 0x1010), "LO", "private Doe")
    made.save_as(tmp_path / "a", implicit_vr=True, little_endian=True)
    exposure = b"\x18\x00\x52\x11\x02\0\0\0"
    raw = (tmp_path / "a").read_bytes()
    assert exposure + b"12" in raw
    (tmp_path / "a").write_bytes(raw.replace(exposure + b"12", exposure + b"no"))
    header = read(tmp_path / "a").header
    assert (header["AccessionNumber"], header["(0029,1010)"]) == ("A-17", "private Doe")
    assert header["Exposure"] == "no"


def test_the_size_of_the_header_is_bounded(tmp_path: Path) -> None:
    made = dataset(OtherPatientIDsSequence=Sequence([item(PatientID=str(one)) for one in range(500)]))
    for element in range(9000):
        made.add_new((0x0029 + 2 * (element // 200), 0x1001 + element % 200), "LO", "x")
    assert len(read(save(tmp_path, made)).header) == 4096


def test_frames_with_places_are_sorted_and_turned(tmp_path: Path) -> None:
    frames = np.stack([STORED + 2, STORED, STORED + 1])
    path = save(tmp_path, enhanced(frames, [(0, 0, 8), (0, 0, 0), (0, 0, 4)], UPRIGHT))
    scan = read(path, dims=3)
    np.testing.assert_array_equal(scan.pixels[0], np.stack([STORED, STORED + 1, STORED + 2]))
    assert (scan.spacing, scan.orientation) == ((4.0, 2.0, 3.0), "SPL")
    np.testing.assert_array_equal(read(path, dims=2).pixels[0], STORED)


def test_colour_frames_keep_their_order(tmp_path: Path) -> None:
    """An ultrasound loop: frames by height by width by colour (MONAI #8265 turns them round)."""
    stored = np.random.default_rng(0).integers(0, 256, (4, 5, 7, 3), dtype=np.uint8)
    tags = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "NumberOfFrames": 4, "Rows": 5, "Columns": 7}
    made = dataset(stored[..., 0], **(tags | eight))
    made.PixelData = stored.tobytes()
    scan = read(save(tmp_path, made), dims=3)
    np.testing.assert_array_equal(scan.pixels, np.moveaxis(stored, -1, 0))
    assert (scan.spacing, scan.orientation) == (None, "")


def test_coronal_frames(tmp_path: Path) -> None:
    frames = np.stack([STORED, STORED + 1])
    positions = [(0, 4, 0), (0, 0, 0)]
    scan = read(save(tmp_path, enhanced(frames, positions, (1, 0, 0, 0, 0, -1))), dims=3)
    # depth is superior: the last row first; height is posterior: the frame at y = 0 first.
    np.testing.assert_array_equal(scan.pixels[0], frames[::-1, ::-1].transpose(1, 0, 2))
    assert scan.spacing == (2.0, 4.0, 3.0)


@pytest.mark.parametrize(
    ("positions", "reason"),
    [
        ([(0, 0, 0), (0, 0, 0), (0, 0, 4)], "several slices at one position"),
        ([(0, 0, 0), (0, 0, 4), (0, 0, 12)], "1 of its slices missing"),
        ([(0, 0, 0)] * 3, "slices at one position: all 3"),
    ],
)
def test_frames_that_make_no_volume(
    tmp_path: Path, positions: list[tuple[int, int, int]], reason: str
) -> None:
    path = save(tmp_path, enhanced(np.stack([STORED, STORED + 1, STORED + 2]), positions, UPRIGHT))
    with pytest.raises(UnreadableScan, match=reason):
        read(path, dims=3)
    assert read(path, dims=2).pixels.shape == (1, 5, 7)


def test_a_real_enhanced_volume(shared_data: Path) -> None:
    path = shared_data / "dicom" / "eCT_Supplemental.dcm"
    scan = read(path, dims=3)
    frames = pydicom.dcmread(path).pixel_array - 1024.0
    # Rows run to the right of the patient; the frame at -159 mm is stored before that at -149 mm.
    np.testing.assert_array_equal(scan.pixels[0], frames[:, :, ::-1])
    assert scan.spacing == pytest.approx((10.0, 0.388672, 0.388672))
