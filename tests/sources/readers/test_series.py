"""A series becomes the volume that SimpleITK and nibabel make of it, or is refused with the reason."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from pydicom.uid import RLELossless, SecondaryCaptureImageStorage
from scipy.spatial.transform import Rotation

from scanlens.errors import UnreadableScan
from scanlens.sources.readers import series
from scanlens.sources.readers.dicom_file import open_header
from scanlens.sources.readers.series import Slice, Stray, read_series, slice_of
from scanlens.sources.readers.series_geometry import plane_of, stack
from scanlens.sources.readers.series_groups import group_slices
from scanlens.types import Scan
from tests.helpers.dicom import SERIES, STORED, ct_slice, dataset, enhanced, save

KEY = b"k" * 32
AXIAL = (1.0, 0, 0, 0, 1, 0)
OBLIQUE = tuple(
    np.round(Rotation.from_euler("xyz", [20, -15, 10], degrees=True).as_matrix()[:, :2].T, 7).ravel()
)
ORIENTATIONS = {
    "axial": AXIAL,
    "feet first": (-1.0, 0, 0, 0, 1, 0),
    "prone": (-1.0, 0, 0, 0, -1, 0),
    "sagittal": (0.0, 1, 0, 0, 0, -1),
    "coronal": (1.0, 0, 0, 0, 0, -1),
    "oblique": OBLIQUE,
}
COUNT, STEP, ORIGIN = 6, 4.0, np.array([-11.0, 23.0, -140.0])
VOLUME = np.random.default_rng(3).integers(0, 4096, (COUNT, 5, 7), dtype=np.uint16)


def normal_of(orientation: Sequence[float]) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:])


def write(
    folder: Path,
    orientation: Sequence[float] = AXIAL,
    positions: np.ndarray | None = None,
    volume: np.ndarray = VOLUME,
    **tags: object,
) -> list[Path]:
    """One file a slice, named and numbered against their order."""
    if positions is None:
        positions = ORIGIN + STEP * np.arange(len(volume))[:, None] * normal_of(orientation)
    shuffled = np.random.default_rng(5).permutation(len(volume))
    folder.mkdir(exist_ok=True)
    return [
        save(folder, ct_slice(volume[at], positions[at], orientation, name + 1, **tags), f"{name}.dcm")
        for name, at in enumerate(shuffled)
    ]


def read(paths: Sequence[Path], max_pixels: int = 10**6) -> Scan:
    return read_series(paths, "folder", max_pixels=max_pixels)


def group_series(paths: Sequence[Path], key: bytes) -> dict[str, list[Path]]:
    """The groups of several slices, by id."""
    named = {path.as_posix(): path for path in paths}
    found = [slice_of(path, name) for name, path in sorted(named.items())]
    groups = group_slices([one for one in found if one is not None], key)
    return {name: [named[one] for one in group.names] for name, group in groups.items()}


def along_z(*depths: float) -> np.ndarray:
    return ORIGIN + np.array([[0, 0, depth] for depth in depths])


def by_simpleitk(folder: Path) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return SimpleITK.DICOMOrient(reader.Execute(), "LPS")


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_like_simpleitk(tmp_path: Path, name: str, backwards: bool) -> None:
    orientation = ORIENTATIONS[name]
    steps = STEP * np.arange(COUNT)[:: -1 if backwards else 1, None]
    scan = read(write(tmp_path, orientation, ORIGIN + steps * normal_of(orientation)))
    expected = by_simpleitk(tmp_path)
    np.testing.assert_array_equal(scan.pixels[0], SimpleITK.GetArrayFromImage(expected))
    assert scan.spacing == pytest.approx(expected.GetSpacing()[::-1], abs=1e-5)
    assert scan.orientation == "SPL"


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_like_nibabel_by_the_affine_of_the_standard(tmp_path: Path, name: str) -> None:
    orientation = np.array(ORIENTATIONS[name])
    affine = np.eye(4)  # PS3.3 C.7.6.2.1.1, of (column, row, slice), then LPS to RAS
    affine[:3, :3] = np.stack(
        [orientation[:3] * 3, orientation[3:] * 2, normal_of(orientation) * STEP], axis=1
    )
    affine[:3, 3] = ORIGIN
    affine = np.diag([-1, -1, 1, 1]) @ affine
    canonical = nib.as_closest_canonical(nib.Nifti1Image(VOLUME.transpose(2, 1, 0), affine))
    paths = write(tmp_path, orientation)
    scan = read(paths)
    np.testing.assert_array_equal(scan.pixels[0], canonical.get_fdata().transpose(2, 1, 0)[:, ::-1, ::-1])
    assert scan.spacing == pytest.approx(tuple(canonical.header.get_zooms()[::-1]), abs=1e-5)
    planes = [plane_of(open_header(path, HEADER)) for path in paths]
    np.testing.assert_allclose(stack(planes, "a").affine, affine[:, [2, 1, 0, 3]], atol=1e-5)


HEADER = ("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")


def test_slice_thickness_and_instance_numbers_are_not_asked(tmp_path: Path) -> None:
    paths = write(tmp_path, SpacingBetweenSlices=77, SliceLocation=5)
    assert read(paths).spacing == (STEP, 2.0, 3.0)


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    paths = [
        save(
            tmp_path,
            ct_slice(STORED, (0, 0, k), AXIAL, RescaleSlope=k + 1, RescaleIntercept=-k, Modality="PT"),
            f"{k}",
        )
        for k in range(3)
    ]
    scan = read(paths)
    np.testing.assert_array_equal(scan.pixels[0], [STORED.astype(float) * (k + 1) - k for k in range(3)])
    assert scan.modality == "PT"


def test_the_first_slice_speaks_for_the_series(tmp_path: Path) -> None:
    paths = [
        save(
            tmp_path,
            ct_slice(
                STORED,
                (0, 0, depth),
                AXIAL,
                WindowCenter=depth + 0.5,
                WindowWidth=11,
                ImageComments=str(depth),
            ),
            f"{name}",
        )
        for name, depth in enumerate([8, 0, 4])
    ]
    scan = read(paths)
    assert (scan.window, scan.bits, scan.modality, scan.patient) == ((-5.0, 5.0), 12, "CT", "Doe-17")
    assert (scan.header["ImageComments"], scan.photometric) == ("0", "MONOCHROME2")


def test_compressed_slices(tmp_path: Path) -> None:
    paths = []
    for k in range(3):
        made = ct_slice(VOLUME[k], (0, 0, k), AXIAL)
        made.compress(RLELossless, generate_instance_uid=False)
        paths.append(save(tmp_path, made, f"{k}"))
    np.testing.assert_array_equal(read(paths).pixels[0], VOLUME[:3])


def test_identical_copies_are_dropped(tmp_path: Path) -> None:
    paths = write(tmp_path)
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(paths[2].read_bytes())
    np.testing.assert_array_equal(read([*paths, copy]).pixels[0], VOLUME)


def test_other_pixels_at_the_same_positions_are_refused(tmp_path: Path) -> None:
    paths = write(tmp_path / "a") + write(tmp_path / "b", volume=VOLUME[::-1])
    with pytest.raises(UnreadableScan, match=r"at one position \(12 slices, 6 positions\): a time series"):
        read(paths)


@pytest.mark.parametrize(
    ("depths", "reason"),
    [
        ((0, 4, 12, 16), "1 of its slices missing, 4 are here, 4 mm apart"),
        ((0, 4, 8, 24), "3 of its slices missing"),
        ((0, 8, 12, 24, 28, 32), "3 of its slices missing"),
        ((0, 4, 9, 12, 16), "unevenly spaced, 3 to 5 mm apart"),
        ((0, 1, 3, 7, 15.5), "unevenly spaced"),
        ((0, 0.1, 1e9), "unevenly spaced"),
        ((5, 5, 5), "slices at one position: all 3"),
        ((0, 2, 4, 8, 12), "variable slice distance: 2 times 2 mm, then 2 times 4 mm"),
        ((0, 5, 10, 12, 14, 16), "variable slice distance: 2 times 5 mm, then 3 times 2 mm"),
    ],
)
def test_gaps_and_uneven_spacing(tmp_path: Path, depths: Sequence[float], reason: str) -> None:
    paths = write(tmp_path, positions=along_z(*depths), volume=VOLUME[: len(depths)])
    with pytest.raises(UnreadableScan, match=reason):
        read(paths)


@pytest.mark.parametrize(
    ("depths", "step"),
    [((0, 0.6, 1.3, 1.9, 2.5, 3.1), 0.625), ((0, 4.05, 8, 11.95, 16, 20), 4.0), ((0, 0.05, 0.1), 0.05)],
)
def test_rounded_positions_are_even(tmp_path: Path, depths: Sequence[float], step: float) -> None:
    paths = write(tmp_path, positions=along_z(*depths), volume=VOLUME[: len(depths)])
    scan = read(paths)
    assert scan.spacing is not None
    assert scan.spacing[0] == pytest.approx(step, rel=0.01)
    np.testing.assert_array_equal(scan.pixels[0], VOLUME[: len(depths)])


def test_sideways_shifts_are_refused(tmp_path: Path) -> None:
    positions = along_z(0, 4, 8, 12, 16, 20)
    positions[3, 0] += 4
    with pytest.raises(UnreadableScan, match="shifted sideways"):
        read(write(tmp_path, positions=positions))


def plane_wave(points: np.ndarray) -> np.ndarray:
    """A field that linear interpolation keeps exactly, by LPS millimetres."""
    return 2000 + points @ np.array([5.0, 7.0, 11.0])


@pytest.mark.parametrize("tilt", [-18.0, 12.0])
def test_gantry_tilt_is_put_straight(tmp_path: Path, tilt: float) -> None:
    """The table moves along z while the gantry leans: slices are stacked aslant of their normal."""
    angle = np.radians(tilt)
    across, down = np.array([1.0, 0, 0]), np.array([0, np.cos(angle), np.sin(angle)])
    positions = ORIGIN + np.arange(COUNT)[:, None] * np.array([0, 0, STEP])
    row, column = np.mgrid[:5, :7]
    fields = [
        plane_wave(start + row[..., None] * 2 * down + column[..., None] * 3 * across) for start in positions
    ]
    stored = np.stack(fields)
    paths = [
        save(
            tmp_path,
            ct_slice(
                np.round(one * 16).astype(np.uint16),
                at,
                (*across, *down),
                k,
                BitsStored=16,
                HighBit=15,
                RescaleSlope=0.0625,
                RescaleIntercept=0,
            ),
            f"{k}",
        )
        for k, (one, at) in enumerate(zip(stored, positions, strict=True))
    ]
    scan = read(paths)
    normal = np.cross(across, down)
    step = STEP * np.cos(angle)
    assert scan.spacing == pytest.approx((step, 2.0, 3.0), abs=1e-4)
    made = stack([plane_of(open_header(path, HEADER)) for path in paths], "a")
    # The affine says where every voxel of the straight volume lies: there the field must be found.
    lps = np.diag([-1, -1, 1, 1]) @ made.affine
    np.testing.assert_allclose(lps[:3, 0], normal * step, atol=1e-4)
    voxels = np.stack(np.meshgrid(*(np.arange(side) for side in made.shape), indexing="ij"), axis=-1)
    expected = plane_wave(voxels @ lps[:3, :3].T + lps[:3, 3])
    covered = scan.pixels[0] != scan.pixels[0].min()
    assert scan.pixels[0].shape[1] > 5
    assert covered.sum() >= COUNT * 4 * 7 - 1
    np.testing.assert_allclose(scan.pixels[0][covered], expected[covered], atol=0.1)


@pytest.mark.parametrize("wobble", [0.0, 0.002, 0.008])
def test_directions_that_wobble_are_read_along_their_mean(tmp_path: Path, wobble: float) -> None:
    """Slices are turned about their normal by turns; the table moves along z."""
    turned = np.cos(wobble), np.sin(wobble)
    paths = [
        save(
            tmp_path,
            ct_slice(
                VOLUME[k],
                ORIGIN + np.array([0, 0, STEP * k]),
                (turned[0], turned[1], 0, -turned[1], turned[0], 0) if k % 2 else AXIAL,
            ),
            f"{k}.dcm",
        )
        for k in range(COUNT)
    ]
    scan = read(paths)
    np.testing.assert_array_equal(scan.pixels[0], VOLUME)
    assert scan.spacing == pytest.approx((STEP, 2.0, 3.0))
    assert scan.wobble == pytest.approx(turned[1], abs=1e-6)
    assert scan.affine is not None
    half = np.array([np.cos(wobble / 2), np.sin(wobble / 2), 0])
    np.testing.assert_allclose(scan.affine[:3, 0], 3 * half * (-1, -1, 1), atol=1e-5)


def test_directions_that_differ_are_refused(tmp_path: Path) -> None:
    paths = write(tmp_path)
    odd = ct_slice(STORED, ORIGIN + np.array([0, 0, STEP * COUNT]), (0.9999, 0.014, 0, -0.014, 0.9999, 0))
    with pytest.raises(UnreadableScan, match="differ in orientation"):
        read([*paths, save(tmp_path, odd, "odd.dcm")])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"SeriesInstanceUID": "1.2.9"}, "several series"),
        ({"PatientID": "Roe"}, "more than one patient"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "differ in orientation"),
        ({"PixelSpacing": [2, 2]}, "differ in pixel spacing"),
        ({"PixelSpacing": None}, "differ in pixel spacing"),
        ({"ImagePositionPatient": None}, "without a position"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "without a position or orientation"),
        ({"Rows": 7, "Columns": 5}, "differ in rows or columns"),
        ({"PhotometricInterpretation": "RGB"}, "colour images"),
        ({"NumberOfFrames": 3}, "several files of several frames"),
        ({"Rows": 0}, "1 of its files hold no readable image"),
    ],
)
def test_mixed_series_are_refused(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    paths = write(tmp_path)
    odd = ct_slice(STORED, (0, 0, 999), AXIAL, 9, **change)
    with pytest.raises(UnreadableScan, match=reason):
        read([*paths, save(tmp_path, odd, "odd.dcm")])


def test_without_pixel_spacing(tmp_path: Path) -> None:
    scan = read(write(tmp_path, PixelSpacing=None))
    np.testing.assert_array_equal(scan.pixels[0], VOLUME)
    assert scan.spacing is None


def test_localizers_are_dropped(tmp_path: Path) -> None:
    paths = write(tmp_path)
    scout = ct_slice(
        np.zeros((9, 9), np.uint16),
        (0, 0, 0),
        (1, 0, 0, 0, 0, -1),
        9,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    path = save(tmp_path, scout, "scout.dcm")
    np.testing.assert_array_equal(read([path, *paths]).pixels[0], VOLUME)
    with pytest.raises(UnreadableScan, match="localizer images only"):
        read([path])
    assert len(group_series([path, *paths], KEY)) == 1


def test_the_size_is_judged_before_decoding(tmp_path: Path) -> None:
    paths = write(tmp_path)
    for path in paths:  # pixels cut away: only the headers can be read
        path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(UnreadableScan, match="6 x 5 x 7 pixels, more than the 200 allowed"):
        read(paths, max_pixels=200)


def test_one_file_of_several_frames(tmp_path: Path) -> None:
    path = save(tmp_path, enhanced(VOLUME[:2], [(0, 0, 4), (0, 0, 0)], AXIAL, SeriesInstanceUID=SERIES))
    np.testing.assert_array_equal(read([path]).pixels[0], VOLUME[1::-1])
    assert group_series([path], KEY) == {}
    with pytest.raises(UnreadableScan, match="an image, not a volume"):
        read(write(tmp_path, volume=VOLUME[:1]))


def _series_id(uid: str) -> str:
    return hmac.new(KEY, uid.encode(), hashlib.sha256).hexdigest()[:12]


def test_grouping(tmp_path: Path) -> None:
    one = write(tmp_path / "one")
    other = write(tmp_path / "two", SeriesInstanceUID="1.2.9")
    plain = save(tmp_path, dataset(STORED))  # names no series
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "zeros.dcm").write_bytes(bytes(128) + b"DICM" + bytes(1 << 16))
    (tmp_path / "cut.dcm").write_bytes(one[0].read_bytes()[:300])
    groups = group_series([*other[::-1], *one, plain, *tmp_path.glob("*.*")], KEY)
    assert list(groups.values()) in ([sorted(one), sorted(other)], [sorted(other), sorted(one)])
    assert list(groups) == sorted(groups)
    assert {_series_id(SERIES), _series_id("1.2.9")} == set(groups)
    assert all(len(name) == 12 and int(name, 16) >= 0 for name in groups)
    assert set(groups).isdisjoint(group_series([*one, *other], b"another key" * 4))


def test_one_uid_with_two_orientations_is_two_groups(tmp_path: Path) -> None:
    axial, coronal = write(tmp_path / "a"), write(tmp_path / "b", ORIENTATIONS["coronal"])
    groups = group_series([*coronal, *axial], KEY)
    assert sorted(groups.values()) == [sorted(axial), sorted(coronal)]
    assert _series_id(SERIES) not in groups
    for paths in groups.values():
        assert read(paths).pixels.size == VOLUME.size
    moved = [path.rename(path.with_name(f"x{path.name}")) for path in axial]
    assert set(group_series([*moved, *coronal], KEY)) == set(groups)


def test_secondary_captures_without_a_place(tmp_path: Path) -> None:
    made = dataset(STORED, SOPClassUID=SecondaryCaptureImageStorage, SeriesInstanceUID=SERIES)
    paths = [save(tmp_path, made, name) for name in ("a", "b")]
    assert list(group_series(paths, KEY).values()) == [paths]
    with pytest.raises(UnreadableScan, match="without a position"):
        read(paths)


def test_a_damaged_file_is_no_slice_but_a_lack_of_memory_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(tmp_path)
    paths[0].write_bytes(paths[0].read_bytes()[:200])
    assert isinstance(slice_of(paths[0]), Stray)
    assert isinstance(slice_of(paths[1]), Slice)

    def no_memory(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(series, "open_header", no_memory)
    with pytest.raises(MemoryError):
        slice_of(paths[1])


def test_a_real_slice_alone_is_no_volume(shared_data: Path) -> None:
    path = min((shared_data / "ct_contrast").rglob("*.dcm"))
    with pytest.raises(UnreadableScan, match="an image, not a volume"):
        read([path])
