"""From optical depth to the picture on the screen: beam, scatter, noise, film curve and collimation.

The two sites differ here and nowhere else, so that what a site's scanner does can be told from disease.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scanlens.phantom.arithmetic import NORMAL, cosine, exp, log, power, sine, uniform
from scanlens.phantom.grid import CENTRE_Y_MM, Grid
from scanlens.types import FloatArray


@dataclass(frozen=True)
class Site:
    """What is typical of one hospital's scanners; pairs are ranges.

    Attributes:
        institution: Its full, invented name.
        dx_share: Share of scans made on a DX detector; the rest are CR plates.
        photons: Quanta a pixel of open beam.
        scatter: Scattered over primary radiation.
        gamma: Exponent of the film curve.
        detail: How much of the fine detail is added once more (unsharp masking).
        blur: Standard deviation of the detector's blur, mm.
        margin: Distance of the collimator from the chest, mm.
        shutter: Brightness of what the collimator covers.
    """

    institution: str
    dx_share: float
    photons: tuple[float, float]
    scatter: tuple[float, float]
    gamma: tuple[float, float]
    detail: tuple[float, float]
    blur: tuple[float, float]
    margin: tuple[float, float]
    shutter: tuple[float, float]


SITES = {
    "north": Site(
        institution="Phantom Hospital North",
        dx_share=0.85,
        photons=(4000, 12000),
        scatter=(0.3, 0.55),
        gamma=(0.8, 1.0),
        detail=(0.3, 0.7),
        blur=(0.2, 0.6),
        margin=(-4, 14),
        shutter=(0.0, 0.03),
    ),
    "south": Site(
        institution="Phantom Clinic South",
        dx_share=0.2,
        photons=(900, 3500),
        scatter=(0.5, 0.9),
        gamma=(1.05, 1.4),
        detail=(0.0, 0.2),
        blur=(0.6, 1.2),
        margin=(2, 30),
        shutter=(0.0, 0.75),
    ),
}


@dataclass(frozen=True)
class Exposure:
    """How one scan was exposed and developed; see :class:`Site` for the fields they share.

    Attributes:
        photons: Quanta a pixel of open beam.
        scatter: Scattered over primary radiation.
        gamma: Exponent of the film curve.
        detail: Weight of the added fine detail.
        blur: Detector blur, mm.
        margins: Collimator distance from the chest: left, top, right, bottom; mm.
        shutter: Brightness of what the collimator covers.
        heel: Fall of optical depth across the film (heel effect, uneven exposure).
        heel_angle: Direction of that fall, radians.
        range_low: Percentile of optical depth shown black.
        range_high: Percentile of optical depth shown white.
        noise_seed: Seed of the quantum noise.
    """

    photons: float
    scatter: float
    gamma: float
    detail: float
    blur: float
    margins: tuple[float, float, float, float]
    shutter: float
    heel: float
    heel_angle: float
    range_low: float
    range_high: float
    noise_seed: int


def draw_exposure(rng: np.random.Generator, site: str) -> Exposure:
    """Draw the exposure of one scan made at ``site``, a key of :data:`SITES`."""
    scanner = SITES[site]
    left, top, right, bottom = uniform(rng, *scanner.margin, 4)
    return Exposure(
        photons=float(exp(uniform(rng, *log(np.array(scanner.photons))))),
        scatter=float(uniform(rng, *scanner.scatter)),
        gamma=float(uniform(rng, *scanner.gamma)),
        detail=float(uniform(rng, *scanner.detail)),
        blur=float(uniform(rng, *scanner.blur)),
        margins=(float(left), float(top), float(right), float(bottom)),
        shutter=float(uniform(rng, *scanner.shutter)),
        heel=float(uniform(rng, 0, 0.4)),
        heel_angle=float(uniform(rng, 0, 2 * np.pi)),
        range_low=float(uniform(rng, 1.5, 7)),
        range_high=float(uniform(rng, 98, 99.8)),
        noise_seed=int(rng.integers(2**31)),
    )


def expose(depth: FloatArray, exposure: Exposure, grid: Grid) -> tuple[FloatArray, tuple[int, int, int, int]]:
    """Expose and develop a film.

    Args:
        depth: Optical depth, float32 ``(height, width)``, 0 or more.
        exposure: As drawn.
        grid: Where the film is.

    Returns:
        Brightness in [0, 1] (bone bright, air dark) and the exposed field in pixels: left, top, right,
        bottom.
    """
    rng = np.random.default_rng(exposure.noise_seed)
    primary = exp(-grid.blur(depth, exposure.blur))
    beam = primary + np.float32(exposure.scatter) * grid.wide_blur(primary, 28.0)
    # For many quanta Poisson noise is Gaussian with the variance of its mean.
    noise = NORMAL.astype(np.float32)[rng.integers(len(NORMAL), size=beam.shape, dtype=np.uint16)]
    beam += np.sqrt(beam / np.float32(exposure.photons)) * noise
    film = -log(np.maximum(beam, np.float32(1e-3)))
    rows = np.linspace(-0.5, 0.5, grid.height, dtype=np.float32)[:, None]
    columns = np.linspace(-0.5, 0.5, grid.width, dtype=np.float32)[None, :]
    film += np.float32(exposure.heel) * (
        np.float32(cosine(exposure.heel_angle)) * columns + np.float32(sine(exposure.heel_angle)) * rows
    )
    film += np.float32(exposure.detail) * (film - grid.wide_blur(film, 12.0))
    left, top, right, bottom = field = _field(exposure, grid)
    # Every third pixel is plenty for a percentile and nine times quicker.
    low, high = np.percentile(film[top:bottom:3, left:right:3], [exposure.range_low, exposure.range_high])
    shown = (film - np.float32(low)) / np.float32(max(high - low, 1e-3))
    shown = np.minimum(power(shown, exposure.gamma), 1)
    image = np.full_like(shown, exposure.shutter)
    image[top:bottom, left:right] = shown[top:bottom, left:right]
    return image, field


def _field(exposure: Exposure, grid: Grid) -> tuple[int, int, int, int]:
    left, top, right, bottom = exposure.margins
    edges = np.array([[-158 - left, CENTRE_Y_MM - 166 - top], [158 + right, CENTRE_Y_MM + 166 + bottom]])
    # The collimator is square to the film, not to the patient.
    corners = (edges - (0.0, CENTRE_Y_MM)) / grid.spacing + ((grid.width - 1) / 2, (grid.height - 1) / 2)
    limits = np.array([grid.width, grid.height])
    (x0, y0), (x1, y1) = np.clip(np.round(corners), 0, limits).astype(int)
    return int(x0), int(y0), int(x1), int(y1)
