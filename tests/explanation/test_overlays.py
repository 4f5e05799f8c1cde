from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from scanlens.explanation import overlays
from scanlens.explanation.maps import upsample


def decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def disc(side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return (rows - 40) ** 2 + (columns - 20) ** 2 < 100


def test_an_overlay_read_back_is_the_blend_and_the_legend() -> None:
    image = np.full((1, 64, 48), 0.5, np.float32)
    maps = np.stack([np.zeros((4, 3)), np.ones((4, 3))]).astype(np.float32)
    picture = overlays.make_picture(image, maps, None, focus=1, side=128)
    assert picture.scan.shape == (128, 96)
    clear, full = (decode(overlays.overlay_png(picture, index, "x")) for index in (0, 1))
    assert clear.shape == (128 + overlays.LEGEND_HEIGHT, 96, 3)
    assert (clear[:128] == 128).all(), "probability 0 leaves the scan as it is"
    expected = 128 * (1 - overlays.MAX_ALPHA) + overlays.COLOURS[255] * overlays.MAX_ALPHA
    np.testing.assert_allclose(full[60, 50], expected, atol=1)
    assert clear[128:].any(), "a legend is drawn"
    np.testing.assert_array_equal(clear[128:], full[128:])


def test_the_colour_scale_is_the_same_for_every_image() -> None:
    """The same probability has the same colour whatever else the map holds."""
    image = np.full((1, 32, 32), 0.4, np.float32)
    faint, strong = np.full((1, 8, 8), 0.2, np.float32), np.full((1, 8, 8), 0.2, np.float32)
    strong[0, :2, :2] = 1
    pictures = [overlays.make_picture(image, maps, None, 0, 32) for maps in (faint, strong)]
    one, two = (decode(overlays.overlay_png(picture, 0, "")) for picture in pictures)
    np.testing.assert_array_equal(one[20:32], two[20:32])
    assert (one[:4] != two[:4]).any()


def test_probabilities_can_be_read_back_from_the_strip_of_maps() -> None:
    maps = np.random.default_rng(0).random((3, 4, 4), dtype=np.float32)
    picture = overlays.make_picture(np.zeros((1, 16, 16), np.float32), maps, None, 0, 16)
    strip = Image.open(io.BytesIO(overlays.maps_png(picture)))
    assert strip.mode == "P"
    values = np.asarray(strip).reshape(3, 16, 16) / 255
    np.testing.assert_allclose(values, upsample(maps, (16, 16)), atol=0.5 / 255 + 1e-6)
    rgba = np.asarray(strip.convert("RGBA")).reshape(3, 16, 16, 4)
    index = np.asarray(strip).reshape(3, 16, 16)
    np.testing.assert_array_equal(rgba[..., :3], overlays.COLOURS[index])
    np.testing.assert_allclose(rgba[..., 3] / 255, overlays.ALPHAS[index], atol=0.003)


def test_the_lesion_is_outlined_and_not_filled() -> None:
    image, maps = np.full((1, 64, 64), 0.5, np.float32), np.zeros((1, 4, 4), np.float32)
    picture = overlays.make_picture(image, maps, disc(), 0, 64)
    drawn = decode(overlays.overlay_png(picture, 0, ""))[:64]
    green = (drawn == overlays.OUTLINE).all(-1)
    assert green[40, 20 - 9]
    assert not green[40, 20]
    assert not green[~disc()].any()
    data = overlays.outline_png(picture)
    assert data is not None
    rgba = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(rgba[..., 3] == 255, green)
    without = overlays.make_picture(image, maps, np.zeros((64, 64), bool), 0, 64)
    assert overlays.outline_png(without) is None


def test_a_volume_shows_the_slice_with_the_greatest_value_of_the_focus() -> None:
    volume = np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32)[None, :, None, None], (1, 16, 20, 20))
    maps = np.zeros((2, 4, 5, 5), np.float32)
    maps[0, 0, 2, 2], maps[1, 2, 3, 3] = 0.5, 0.9
    pictures = [overlays.make_picture(volume, maps, None, focus, 20) for focus in (0, 1)]
    assert [
        picture.slice in range(*bounds) for picture, bounds in zip(pictures, [(0, 2), (8, 12)], strict=True)
    ]
    for picture in pictures:
        assert picture.slice is not None
        assert (picture.scan == round(255 * picture.slice / 15)).all()
    assert pictures[1].slice in (9, 10)
    large = upsample(maps, (16, 20, 20))[1]
    assert large[pictures[1].slice].max() == pytest.approx(large.max())


def test_the_slice_of_a_mask_follows_the_slice_shown() -> None:
    maps, mask = np.zeros((1, 4, 4, 4), np.float32), np.zeros((8, 8, 8), bool)
    maps[0, 3], mask[:2, 2:6, 2:6] = 1, True
    assert overlays.make_picture(np.zeros((1, 8, 8, 8), np.float32), maps, mask, 0, 32).outline is None


def test_colour_scans_keep_their_colour_alone_and_are_grey_under_a_map() -> None:
    image = np.zeros((3, 16, 16), np.float32)
    image[0] = 1
    picture = overlays.make_picture(image, np.zeros((1, 2, 2), np.float32), None, 0, 16)
    assert decode(overlays.scan_png(picture))[8, 8].tolist() == [255, 0, 0]
    assert len(set(decode(overlays.overlay_png(picture, 0, ""))[8, 8].tolist())) == 1


@pytest.mark.parametrize("caption", ["x" * 500, "two\nlines\t\x00", "é ∆ 病", ""])
@pytest.mark.parametrize("shape", [(64, 64), (64, 4)])
def test_any_caption_fits(caption: str, shape: tuple[int, int]) -> None:
    picture = overlays.make_picture(
        np.zeros((1, *shape), np.float32), np.zeros((1, 2, 2), np.float32), None, 0, 64
    )
    drawn = decode(overlays.overlay_png(picture, 0, caption))
    assert drawn.shape == (64 + overlays.LEGEND_HEIGHT, shape[1], 3)
