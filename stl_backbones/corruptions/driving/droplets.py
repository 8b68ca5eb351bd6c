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
_SHRUNK = 64  # rows, about, of the scene that drops show
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
    rows, columns = np.empty((2, height)), np.empty((2, width))
    for k in range(drops.shape[0]):
        if covered >= wanted:
            break
        x, y, radius, smaller = drops[k, 0], drops[k, 1], drops[k, 2], drops[k, 3]
        rim = max(RIM * radius, 1.0)
        reach = radius + rim / 2
        top, bottom = max(int(y - reach), 0), min(int(y + reach) + 1, height)
        left, right = max(int(x - reach), 0), min(int(x + reach) + 1, width)
        _place(rows[:, top:bottom], (top, y, smaller), height, scene.shape[0])
        _place(columns[:, left:right], (left, x, smaller), width, scene.shape[1])
        for row in range(top, bottom):
            dy = row + 0.5 - y
            for column in range(left, right):
                dx = column + 0.5 - x
                squared = dx * dx + dy * dy
                if squared >= reach * reach:
                    continue
                share = min((radius - np.sqrt(squared)) / rim + 0.5, 1.0)
                covered += free[row, column] * share
                free[row, column] *= np.float32(1 - share)
                _mix(scene, rows[:, row], columns[:, column], share, tables, out[row, column])
    return covered


@kernel
def _place(places: Doubles, centre: tuple[int, float, float], size: int, small_size: int) -> None:
    """Where pixels of a drop come from: the pixel of the small scene, and the share of the next."""
    first, middle, smaller = centre
    last = small_size - 1.0
    for i in range(places.shape[1]):
        at = middle - smaller * (first + i + 0.5 - middle)
        place = abs(at / size * small_size - 0.5)
        while place > 2 * last > 0:  # mirrored at both borders
            place -= 2 * last
        place = max(min(place, 2 * last - place), 0.0)
        places[0, i] = int(place)
        places[1, i] = place - int(place)


@kernel
def _mix(
    scene: Floats,
    down: Doubles,
    across: Doubles,
    share: float,
    tables: tuple[Floats, Image],
    pixel: Image,
) -> None:
    """Mix a pixel with the scene, between four pixels of the small one."""
    linear, levels = tables
    top, left = int(down[0]), int(across[0])
    bottom, right = min(top + 1, scene.shape[0] - 1), min(left + 1, scene.shape[1] - 1)
    v, u = np.float32(down[1]), np.float32(across[1])
    one, part = np.float32(1), np.float32(share)
    for channel in range(3):
        upper = scene[top, left, channel] * (one - u) + scene[top, right, channel] * u
        lower = scene[bottom, left, channel] * (one - u) + scene[bottom, right, channel] * u
        shown = upper * (one - v) + lower * v
        light = linear[pixel[channel]] * (one - part) + shown * part
        pixel[channel] = levels[step_of(light)]
