"""lens_droplets: drops on the glass, each a small, upside-down, blurred picture of the scene."""

from __future__ import annotations

import cv2
import numpy as np

from stl_backbones.corruptions.driving.light import LEVELS, LINEAR, check_level, step_of
from stl_backbones.corruptions.driving.spread import shrunk
from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image
from stl_backbones.corruptions.native.compiled import kernel

RADII = 0.005, 0.03  # of the image's height; ours, like all of these
SMALLER = 10.0, 20.0  # how many times smaller a drop shows the scene
BLUR = 0.05  # radius of the disc that blurs what a drop shows, in heights of the scene
RIM = 0.3  # of the radius: how wide the soft rim is, at least one pixel
_SHRUNK = 128  # rows, about, of the scene that drops show
_BATCH = 64


def lens_droplets(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Round drops until a share of the picture is covered; their optics are ours.

    In a drop's coverage a, the picture is ``(1 - a) I + a D`` in linear light. D at an offset from
    the drop's centre is the scene at minus that offset times 10 to 20, mirrored at the borders,
    blurred by a disc. a is 1 inside and falls over a rim of 0.3 radii. Radii are 0.5 to 3 % of
    the height. No standard exists; Porav et al. 2019 recorded real drops.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        level: The covered area in percent, 0..80: mean of a, overlaps counted once.
        rng: Its source of randomness.

    Raises:
        InputError: If the level is not in that range.
    """
    percent = check_level("lens_droplets", level, (0, 80), "% of the area")
    height, width = image.shape[:2]
    scene = _blurred(image)
    out, free = image.copy(), np.ones((height, width), np.float32)
    wanted = percent / 100 * height * width
    covered = 0.0
    while covered < wanted:
        low = np.array([0, 0, RADII[0] * height, SMALLER[0]])
        high = np.array([width, height, RADII[1] * height, SMALLER[1]])
        drops = rng.uniform(low, high, (_BATCH, 4))
        covered = _add_drops(drops, scene, (covered, wanted), free, (LINEAR, LEVELS), out)
    return out


def _blurred(image: Image) -> Floats:
    """The scene in linear light, small and blurred by a disc."""
    small = shrunk(image, max(1, image.shape[0] // _SHRUNK))
    radius = BLUR * small.shape[0]
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(y, x), 0, 1).astype(np.float32)
    disc /= disc.sum()
    return np.asarray(cv2.filter2D(small, -1, disc, borderType=cv2.BORDER_REFLECT), np.float32)


@kernel
def _add_drops(
    drops: Doubles,
    scene: Floats,
    area: tuple[float, float],
    free: Floats,
    tables: tuple[Floats, Image],
    out: Image,
) -> float:
    """Add drops until the wanted area is covered; the area that is covered in the end."""
    covered, wanted = area
    height, width = free.shape
    for k in range(drops.shape[0]):
        if covered >= wanted:
            break
        x, y, radius = drops[k, 0], drops[k, 1], drops[k, 2]
        rim = max(RIM * radius, 1.0)
        reach = radius + rim
        for row in range(max(int(y - reach), 0), min(int(y + reach) + 1, height)):
            for column in range(max(int(x - reach), 0), min(int(x + reach) + 1, width)):
                dx, dy = column + 0.5 - x, row + 0.5 - y
                share = (radius - np.sqrt(dx * dx + dy * dy)) / rim + 0.5
                if share <= 0:
                    continue
                share = min(share, 1.0)
                covered += free[row, column] * share
                free[row, column] *= np.float32(1 - share)
                at = x - drops[k, 3] * dx, y - drops[k, 3] * dy
                _mix(scene, at, share, tables, out[row, column], (height, width))
    return covered


@kernel
def _mix(
    scene: Floats,
    at: tuple[float, float],
    share: float,
    tables: tuple[Floats, Image],
    pixel: Image,
    size: tuple[int, int],
) -> None:
    """Mix a pixel with the scene at a place of the image, between four pixels of the small one."""
    linear, levels = tables
    rows, columns = scene.shape[:2]
    height, width = size
    left, u = _between(at[0] / width * columns - 0.5, columns)
    top, v = _between(at[1] / height * rows - 0.5, rows)
    right, bottom = min(left + 1, columns - 1), min(top + 1, rows - 1)
    for channel in range(3):
        upper = scene[top, left, channel] * (1 - u) + scene[top, right, channel] * u
        lower = scene[bottom, left, channel] * (1 - u) + scene[bottom, right, channel] * u
        shown = upper * (1 - v) + lower * v
        light = linear[pixel[channel]] * (1 - share) + shown * share
        pixel[channel] = levels[step_of(np.float32(light))]


@kernel
def _between(place: float, size: int) -> tuple[int, float]:
    """The pixel before a place that is mirrored at both borders, and how far after it it is."""
    last = size - 1.0
    place = abs(place)
    while place > 2 * last > 0:
        place -= 2 * last
    place = min(place, 2 * last - place)
    first = int(place)
    return first, place - first
