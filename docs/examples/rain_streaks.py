"""Rain in front of the camera, and a protocol with it: an example of one's own corruption.

See docs/how-to/own_corruption.md. Used as `--custom-imports docs/examples/rain_streaks.py`, or as
`custom_imports = dict(imports=["rain_streaks"])` in a config, with this folder on PYTHONPATH.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions import Protocol, register_corruption, register_protocol

Image = npt.NDArray[np.uint8]


class Rain(NamedTuple):
    """How hard it rains.

    Attributes:
        drops: Streaks per 10 000 pixels of a picture 512 pixels high.
        length: Of a near streak, as a share of the picture's height.
        opacity: Of the brightest streak.
        veil: How much of the scene is lost in the drops that are too far to be seen singly.
    """

    drops: float
    length: float
    opacity: float
    veil: float


RAIN = (
    Rain(drops=12, length=0.05, opacity=0.30, veil=0.06),
    Rain(drops=20, length=0.07, opacity=0.40, veil=0.12),
    Rain(drops=30, length=0.09, opacity=0.50, veil=0.20),
    Rain(drops=42, length=0.12, opacity=0.60, veil=0.30),
    Rain(drops=56, length=0.16, opacity=0.70, veil=0.40),
)
# (share of the drops, share of the length, share of the opacity), from far to near.
LAYERS = ((0.70, 0.35, 0.45), (0.24, 0.60, 0.70), (0.06, 1.00, 1.00))
OVERCAST = np.array([196, 202, 208])  # colour of the light that drops pass on, RGB
GLINT = 40  # a streak is brighter than the veil by this
WIND = 18  # largest slant of a shower, degrees
TURBULENCE = 1.5  # slant of one drop about that, degrees
SUBPIXELS = 4  # bits behind the point of cv2's coordinates


@register_corruption("rain_streaks", group="weather", version="1")
def rain_streaks(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """Bright slanted streaks in three depths, over a scene that pales.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        severity: 1 (drizzle) to 5 (downpour).
        rng: The only source of randomness.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    rain = RAIN[severity - 1]
    slant = rng.uniform(-WIND, WIND)  # one wind for all drops
    streaks = np.zeros(image.shape[:2], np.float32)
    for share, length, opacity in LAYERS:
        layer = draw_streaks(
            image.shape[:2],
            drops=rain.drops * share,
            length=rain.length * length,
            slant=slant,
            rng=rng,
        )
        np.maximum(streaks, layer * (rain.opacity * opacity), out=streaks)
    # An overcast sky lights the drops, less so in a dark scene.
    light = 0.6 * OVERCAST + 0.4 * image.mean(axis=(0, 1))
    scene = image + rain.veil * (light - image)
    rainy = scene + streaks[..., None] * (light + GLINT - scene)
    return np.clip(np.rint(rainy), 0, 255).astype(np.uint8)


def draw_streaks(
    shape: tuple[int, int], *, drops: float, length: float, slant: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """One layer of streaks, ``(H, W)`` in 0..1; sizes follow the picture's height."""
    height, width = shape
    unit = height / 512
    count = round(drops * height * width / 1e4 / unit**2)
    reach = length * height * rng.uniform(0.6, 1.4, count)
    angle = np.deg2rad(slant + rng.normal(0, TURBULENCE, count))
    step = np.stack([np.sin(angle), np.cos(angle)], axis=1) * reach[:, None]
    # From a bit outside the picture on, so that its edges are as wet as its middle.
    margin = length * height
    start = rng.uniform((-margin, -margin), (width + margin, height), (count, 2))
    ends = np.rint(np.stack([start, start + step], axis=1) * 2**SUBPIXELS).astype(int)
    brightness = rng.uniform(90, 255, count)
    layer = np.zeros(shape, np.uint8)
    for (top, bottom), value in zip(ends.tolist(), brightness.tolist(), strict=True):
        cv2.line(layer, top, bottom, value, max(1, round(unit)), cv2.LINE_AA, SUBPIXELS)
    soft = cv2.GaussianBlur(layer, (0, 0), max(0.4, 0.5 * unit))
    return soft.astype(np.float32) / 255


register_protocol(
    Protocol(
        name="rain",
        columns={"weather": ("rain_streaks", "snow", "fog")},  # severities 1 to 5 of each
        source="docs/how-to/own_corruption.md",
    )
)
