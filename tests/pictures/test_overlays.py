from __future__ import annotations

import io

import cv2
import matplotlib
import numpy as np
import pytest
from PIL import Image

from scanlens.maps.probability import upsample
from scanlens.pictures import overlays


def decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def disc(side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return (rows - 40) ** 2 + (columns - 20) ** 2 < 100


def test_an_overlay_read_back_is_the_blend_and_the_legend() -> None:
    image = np.full((1, 64, 48), 0.5, np.float32)
    pictures = [overlays.make_picture(image, np.full((4, 3), p, np.float32), None, side=128) for p in (0, 1)]
    assert pictures[0].scan.shape == (128, 96)
    clear, full = (decode(overlays.overlay_png(picture, "x")) for picture in pictures)
    assert clear.shape == (128 + overlays.LEGEND_HEIGHT, 96, 3)
    assert (clear[:128] == 128).all(), "probability 0 leaves the scan as it is"
    expected = 128 * (1 - overlays.MAX_ALPHA) + overlays.COLOURS[255] * overlays.MAX_ALPHA
    np.testing.assert_allclose(full[60, 50], expected, atol=1)
    assert clear[128:].any(), "a legend is drawn"
    np.testing.assert_array_equal(clear[128:], full[128:])


def test_colours_are_plasma_and_lighter_with_every_step() -> None:
    plasma = matplotlib.colormaps["plasma"](np.arange(256))[:, :3] * 255
    np.testing.assert_allclose(overlays.COLOURS, plasma, atol=1)
    over = overlays.blend(np.zeros((1, 256), np.uint8), np.arange(256, dtype=np.uint8)[None])
    lightness = cv2.cvtColor(over, cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert (np.diff(lightness) >= 0).all(), "over black a higher probability never looks darker"
    assert lightness[-1] > 140


def test_a_blend_is_the_weighted_mean_of_grey_and_colour() -> None:
    rng = np.random.default_rng(0)
    grey, indices = rng.integers(0, 256, (2, 40, 30)).astype(np.uint8)
    alpha = overlays.ALPHAS[indices][..., None]
    expected = grey[..., None] * (1 - alpha) + overlays.COLOURS[indices] * alpha
    np.testing.assert_allclose(overlays.blend(grey, indices), expected, atol=0.51)


def test_the_colour_scale_is_the_same_for_every_image() -> None:
    """The same probability has the same colour whatever else the map holds."""
    image = np.full((1, 32, 32), 0.4, np.float32)
    faint, strong = np.full((8, 8), 0.2, np.float32), np.full((8, 8), 0.2, np.float32)
    strong[:2, :2] = 1
    pictures = [overlays.make_picture(image, values, None, 32) for values in (faint, strong)]
    one, two = (decode(overlays.overlay_png(picture, "")) for picture in pictures)
    np.testing.assert_array_equal(one[20:32], two[20:32])
    assert (one[:4] != two[:4]).any()


@pytest.mark.parametrize("size", [(16, 16), (37, 53), (3, 5)])
def test_a_map_is_enlarged_as_everywhere_else(size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).random((4, 6), dtype=np.float32)
    found = overlays.enlarged_picture(values, *size) / 255
    np.testing.assert_allclose(found, upsample(values, size), atol=0.5 / 255 + 1e-5)


def test_the_legend_shows_one_place_at_the_pictures_size() -> None:
    image = np.zeros((1, 64, 64), np.float32)
    widths = []
    for cells in (4, 8):
        picture = overlays.make_picture(image, np.zeros((cells, cells), np.float32), None, 320)
        line = decode(overlays.overlay_png(picture, ""))[320 + 6, :, 0]
        widths.append(int(np.argmax(line != 220)))
    assert widths == [80, 40]


def test_the_lesion_is_outlined_and_not_filled() -> None:
    image, values = np.full((1, 64, 64), 0.5, np.float32), np.zeros((4, 4), np.float32)
    drawn = decode(overlays.overlay_png(overlays.make_picture(image, values, disc(), 64), ""))[:64]
    green = (drawn == overlays.OUTLINE).all(-1)
    assert green[40, 20 - 9]
    assert not green[40, 20]
    assert not green[~disc()].any()
    assert overlays.make_picture(image, values, np.zeros((64, 64), bool), 64).outline is None


def test_a_volume_shows_the_slice_with_the_greatest_value_of_the_focus() -> None:
    volume = np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32)[None, :, None, None], (1, 16, 20, 20))
    maps = np.zeros((2, 4, 5, 5), np.float32)
    maps[0, 0, 2, 2], maps[1, 2, 3, 3] = 0.5, 0.9
    pictures = [overlays.make_picture(volume, values, None, 20) for values in maps]
    assert [
        picture.slice in range(*bounds) for picture, bounds in zip(pictures, [(0, 2), (8, 12)], strict=True)
    ]
    for picture in pictures:
        assert picture.slice is not None
        assert (picture.scan == round(255 * picture.slice / 15)).all()
    assert pictures[1].slice in (9, 10)
    large = upsample(maps, (16, 20, 20))[1]
    assert large[pictures[1].slice].max() == pytest.approx(large.max())
    other = overlays.make_picture(volume, maps[0], None, 20, focus=maps[1])
    assert other.slice == pictures[1].slice
    assert not other.indices.any()


def test_the_slice_of_a_mask_follows_the_slice_shown() -> None:
    values, mask = np.zeros((4, 4, 4), np.float32), np.zeros((8, 8, 8), bool)
    values[3], mask[:2, 2:6, 2:6] = 1, True
    assert overlays.make_picture(np.zeros((1, 8, 8, 8), np.float32), values, mask, 32).outline is None


def test_colour_scans_keep_their_colour_alone_and_are_grey_under_a_map() -> None:
    image = np.zeros((3, 16, 16), np.float32)
    image[0] = 1
    picture = overlays.make_picture(image, np.zeros((2, 2), np.float32), None, 16)
    assert decode(overlays.scan_png(picture.scan))[8, 8].tolist() == [255, 0, 0]
    assert len(set(decode(overlays.overlay_png(picture, ""))[8, 8].tolist())) == 1


@pytest.mark.parametrize("caption", ["x" * 500, "two\nlines\t\x00", "é ∆ 病", ""])
@pytest.mark.parametrize("shape", [(64, 64), (64, 4), (1, 64)])
def test_any_caption_fits(caption: str, shape: tuple[int, int]) -> None:
    picture = overlays.make_picture(np.zeros((1, *shape), np.float32), np.zeros((2, 2), np.float32), None, 64)
    drawn = decode(overlays.overlay_png(picture, caption))
    assert drawn.shape == (shape[0] + overlays.LEGEND_HEIGHT, shape[1], 3)
