"""Every conformance file of pydicom-data: refused for the stated reason, or read as pydicom reads it.

The expected pixels are computed here from pydicom's own functions, file by file as the table says, and the
few that pydicom itself gets wrong from the file's twin. No file is left out: the table is compared with the
folder.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_color_lut, apply_modality_lut, convert_color_space, pixel_array
from pydicom.uid import ImplicitVRLittleEndian

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.dicom import read_dicom

Expected = Callable[[pydicom.FileDataset], np.ndarray]


def grey(source: pydicom.FileDataset) -> np.ndarray:
    """The modality LUT or rescale at the top of the header, on every frame."""
    values = apply_modality_lut(pixel_array(source), source)
    return values.reshape(1, -1, source.Rows, source.Columns)


def grey_of_groups(source: pydicom.FileDataset) -> np.ndarray:
    """The rescale that all frames share in the functional groups."""
    shared = source.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0]
    return apply_modality_lut(pixel_array(source), shared)[None]


def inverted(source: pydicom.FileDataset) -> np.ndarray:
    """MONOCHROME1: stored 0 is the brightest, so x becomes 2^bits - 1 - x."""
    return ((1 << source.BitsStored) - 1.0 - pixel_array(source))[None, None]


def colour(source: pydicom.FileDataset) -> np.ndarray:
    values = pixel_array(source, raw=True)
    return _channels(values, source)


def squared(source: pydicom.FileDataset) -> np.ndarray:
    """Pixels that are higher than wide by PixelAspectRatio: more rows, so that the shape is kept."""
    high, wide = source.PixelAspectRatio
    rows = round(source.Rows * high / wide)
    values = pixel_array(source, raw=True).astype(np.float32)
    bands = cv2.split(cv2.resize(values, (source.Columns, rows), interpolation=cv2.INTER_LINEAR))
    return np.stack(bands)[:, None]


def from_ybr(source: pydicom.FileDataset) -> np.ndarray:
    values = convert_color_space(pixel_array(source, raw=True), source.PhotometricInterpretation, "RGB")
    return _channels(values, source)


def palette(source: pydicom.FileDataset) -> np.ndarray:
    return _channels(apply_color_lut(pixel_array(source), source)[..., :3], source)


def twin(name: str) -> Expected:
    """The little endian file of the same picture: pydicom 3.0 reads 16-bit tables without regard to order."""

    def read(source: pydicom.FileDataset) -> np.ndarray:
        return palette(_source(Path(source.filename).with_name(name)))

    return read


def _channels(values: np.ndarray, source: pydicom.FileDataset) -> np.ndarray:
    return np.moveaxis(values.reshape(-1, source.Rows, source.Columns, 3), -1, 0)


def _source(path: Path) -> pydicom.FileDataset:
    source = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in source.file_meta:
        source.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return source


DEFLATED_FRAMES = r"transfer syntax 1\.2\.840\.10008\.1\.2\.8\.1 is not supported"
RLE_BITS = "a bit mask compressed with RLE is not supported"

TABLE: dict[str, str | Expected] = {
    "693_J2KR.dcm": grey,
    "693_UNCI.dcm": grey,
    "693_UNCR.dcm": grey,
    "HTJ2KLossless_08_RGB.dcm": colour,
    "HTJ2K_08_RGB.dcm": colour,
    "JLSL_08_07_0_1F.dcm": grey,
    "JLSL_16_15_1_1F.dcm": grey,
    "JLSL_RGB_ILV0.dcm": colour,
    "JLSL_RGB_ILV1.dcm": colour,
    "JLSL_RGB_ILV2.dcm": colour,
    "JLSN_RGB_ILV0.dcm": colour,
    "JPEG-LL.dcm": grey,
    "JPEG2000_UNC.dcm": grey,
    "JPGLosslessP14SV1_1s_1f_8b.dcm": grey,
    "MR-SIEMENS-DICOM-WithOverlays.dcm": grey,
    "MR2_J2KI.dcm": grey,
    "MR2_J2KR.dcm": grey,
    "OBXXXX1A.dcm": palette,
    "OBXXXX1A_2frame.dcm": palette,
    "OBXXXX1A_expb.dcm": twin("OBXXXX1A.dcm"),
    "OBXXXX1A_expb_2frame.dcm": twin("OBXXXX1A_2frame.dcm"),
    "OBXXXX1A_rle.dcm": palette,
    "OBXXXX1A_rle_2frame.dcm": palette,
    "OT-PAL-8-face.dcm": palette,
    "RG1_J2KI.dcm": inverted,
    "RG3_J2KI.dcm": inverted,
    "RG3_J2KR.dcm": inverted,
    "SC_rgb.dcm": colour,
    "SC_rgb_16bit.dcm": colour,
    "SC_rgb_16bit_2frame.dcm": colour,
    "SC_rgb_2frame.dcm": colour,
    "SC_rgb_32bit.dcm": colour,
    "SC_rgb_32bit_2frame.dcm": colour,
    "SC_rgb_dcmtk_ebcr_dcmd.dcm": colour,
    "SC_rgb_dcmtk_ebcyn1_dcmd.dcm": colour,
    "SC_rgb_dcmtk_ebcyn2_dcmd.dcm": colour,
    "SC_rgb_dcmtk_ebcynp_dcmd.dcm": colour,
    "SC_rgb_dcmtk_ebcys2_dcmd.dcm": colour,
    "SC_rgb_dcmtk_ebcys4_dcmd.dcm": colour,
    "SC_rgb_expb.dcm": colour,
    "SC_rgb_expb_16bit.dcm": colour,
    "SC_rgb_expb_16bit_2frame.dcm": colour,
    "SC_rgb_expb_2frame.dcm": colour,
    "SC_rgb_expb_32bit.dcm": colour,
    "SC_rgb_expb_32bit_2frame.dcm": colour,
    "SC_rgb_gdcm2k_uncompressed.dcm": colour,
    "SC_ybr_full_uncompressed.dcm": from_ybr,
    "US1_J2KI.dcm": colour,  # openjpeg undoes the codestream's own ICT and RCT
    "US1_J2KR.dcm": colour,
    "US1_UNCI.dcm": colour,
    "US1_UNCR.dcm": colour,
    "bad_sequence.dcm": grey,
    "color-pl.dcm": squared,
    "color-px.dcm": squared,
    "eCT_Supplemental.dcm": grey_of_groups,
    "emri_small.dcm": grey,
    "emri_small_RLE.dcm": grey,
    "emri_small_big_endian.dcm": grey,
    "emri_small_jpeg_2k_lossless.dcm": grey,
    "emri_small_jpeg_2k_lossless_too_short.dcm": "holds no pixel data",
    "emri_small_jpeg_ls_lossless.dcm": grey,
    "explicit_VR-UN.dcm": grey,
    "gdcm-US-ALOKA-16.dcm": palette,
    "gdcm-US-ALOKA-16_big.dcm": palette,
    "liver.dcm": grey,
    "liver_deflate.dcm": DEFLATED_FRAMES,
    "liver_expb.dcm": grey,
    "liver_j2k.dcm": grey,
    "liver_nonbyte_aligned.dcm": grey,
    "liver_nonbyte_aligned_deflate.dcm": DEFLATED_FRAMES,
    "liver_nonbyte_aligned_j2k.dcm": grey,
    "liver_nonbyte_aligned_rle.dcm": RLE_BITS,
    "liver_rle.dcm": RLE_BITS,
    "mlut_18.dcm": grey,
    "parametric_map_double_float.dcm": grey,
    "parametric_map_float.dcm": grey,
    "vlut_04.dcm": grey,
}
SAME_PICTURE = [
    ("SC_rgb.dcm", "SC_rgb_expb.dcm"),
    ("SC_rgb_16bit.dcm", "SC_rgb_expb_16bit.dcm"),
    ("SC_rgb_32bit.dcm", "SC_rgb_expb_32bit.dcm"),
    ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm"),
    ("gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm"),
    ("emri_small.dcm", "emri_small_RLE.dcm"),
    ("emri_small.dcm", "emri_small_big_endian.dcm"),
    ("emri_small.dcm", "emri_small_jpeg_2k_lossless.dcm"),
    ("emri_small.dcm", "emri_small_jpeg_ls_lossless.dcm"),
    ("liver.dcm", "liver_expb.dcm"),
    ("liver.dcm", "liver_j2k.dcm"),
    ("liver_nonbyte_aligned.dcm", "liver_nonbyte_aligned_j2k.dcm"),
    ("693_UNCR.dcm", "693_J2KR.dcm"),
    ("US1_UNCR.dcm", "US1_J2KR.dcm"),
]
"""Lossless encodings of one picture, which no reader of one of them alone can be right about by chance."""


def middle(path: Path, frame: int | None = None) -> np.ndarray:
    # The liver files are segmentation objects, which are read as masks only.
    return read_dicom(path, path.name, dims=2, max_pixels=10**7, frame=frame, mask=True).pixels


def test_no_file_is_left_out(shared_data: Path) -> None:
    assert sorted(TABLE) == sorted(path.name for path in (shared_data / "dicom").iterdir())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", TABLE)
def test_conformance_file(shared_data: Path, name: str) -> None:
    path, expected = shared_data / "dicom" / name, TABLE[name]
    if isinstance(expected, str):
        with pytest.raises(UnreadableScan, match=expected):
            middle(path)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = expected(_source(path)).astype(np.float32)
    found = middle(path)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, frames[:, frames.shape[1] // 2])
    for frame in range(frames.shape[1]):
        np.testing.assert_array_equal(middle(path, frame), frames[:, frame])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("one", "other"), SAME_PICTURE)
def test_encodings_of_one_picture_agree(shared_data: Path, one: str, other: str) -> None:
    np.testing.assert_array_equal(middle(shared_data / "dicom" / one), middle(shared_data / "dicom" / other))
