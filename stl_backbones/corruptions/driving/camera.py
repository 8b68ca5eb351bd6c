"""The camera, the car and the road that are assumed where an image does not state them.

Everything that these corruptions take for granted about a scene is here. The camera is
Cityscapes' (Cordts et al. 2016): its focal length is a share of the image's width, so that an
image of any size shows the same field of view, 49 degrees wide.
"""

from __future__ import annotations

import math

import numpy as np

from stl_backbones.corruptions.native.arrays import Floats

FOCAL_PER_WIDTH = 2262.5 / 2048  # fx of a Cityscapes camera, in image widths
SPEED = 50 / 3.6  # m/s, straight ahead
TURN = math.radians(10)  # rad/s, to the left or the right
DISTANCE = 10.0  # m, of everything that passes by while the shutter is open
CAMERA_HEIGHT = 1.22  # m above a flat road
FAR = 50.0  # m: no part of the road, and nothing above the horizon, is taken to be farther

RAIN_EXPOSURE = 0.005  # s; this and the next two: Tremblay et al. 2020, for Cityscapes
RAIN_APERTURE = 0.006 / 6  # m: 6 mm, f/6
RAIN_FOCUS = 6.0  # m


def focal_px(width: int) -> float:
    """The focal length in pixels of an image of this width."""
    return FOCAL_PER_WIDTH * width


def shift_px(arm: float, metres: float, depth: float) -> float:
    """By how many pixels a point moves: ``arm * metres / depth``.

    Args:
        arm: The focal length for a movement across the line of sight; the distance from the
            vanishing point for one along it; pixels.
        metres: How far camera or point move.
        depth: Of the point, metres.
    """
    return arm * metres / depth


def turn_px(focal: float, seconds: float) -> float:
    """By how many pixels the image's middle moves while the camera turns."""
    return focal * TURN * seconds


def road_depth(height: int, width: int) -> Floats:
    """Depth of each row: a flat road below the horizon, which is in the middle; else `FAR`.

    Returns:
        ``(height,)`` metres.
    """
    below = np.arange(height) - (height - 1) / 2
    road = focal_px(width) * CAMERA_HEIGHT / np.maximum(below, 1e-3)
    return np.asarray(np.minimum(np.where(below > 0, road, FAR), FAR), np.float32)
