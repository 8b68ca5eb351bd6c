"""Persons, and the two-wheelers that some of them ride."""

from __future__ import annotations

import math

import numpy as np

from stl_backbones.datasets.street_scenes.brush import Brush, ring
from stl_backbones.datasets.street_scenes.light import Color, Vector
from stl_backbones.datasets.street_scenes.street import vary

PERSON, RIDER, MOTORCYCLE, BICYCLE = 11, 12, 17, 18

SKINS: tuple[Color, ...] = ((236, 196, 164), (206, 158, 120), (150, 104, 76), (98, 68, 52))
HAIRS: tuple[Color, ...] = ((40, 32, 28), (92, 62, 40), (180, 146, 90), (150, 150, 150))
TOPS: tuple[Color, ...] = (
    (180, 40, 44), (40, 70, 140), (230, 226, 220), (52, 54, 58), (220, 170, 50), (70, 120, 84),
    (140, 80, 130), (110, 150, 180), (200, 110, 60),
)  # fmt: skip
TROUSERS: tuple[Color, ...] = ((46, 54, 82), (36, 36, 40), (120, 108, 88), (92, 96, 104))
FRAMES: tuple[Color, ...] = (
    (170, 36, 40),
    (36, 84, 150),
    (40, 42, 44),
    (60, 130, 84),
    (210, 210, 206),
)
TYRE: Color = (30, 30, 32)


def draw_person(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a pedestrian in mid-stride, some in a skirt or with a bag."""
    brush.canvas.begin_thing(PERSON)
    top, legs, skin, hair = _clothes(rng)
    if brush.detail < 12:
        _draw_distant_person(brush, top, legs, hair)
        return
    swing = float(rng.uniform(-0.32, 0.32))
    skirt = rng.random() < 0.2
    shoe: Color = (34, 30, 30)
    for side in (-1.0, 1.0):
        hip, reach = (0.0, side * 0.10, 0.92), side * swing
        knee = (reach * 0.55, side * 0.11, 0.48)
        foot = (reach, side * 0.11, 0.06)
        brush.stroke(hip, knee, 0.095, legs)
        brush.stroke(knee, foot, 0.075, skin if skirt else legs)
        brush.stroke(foot, (reach + 0.14, side * 0.11, 0.04), 0.055, shoe)
        arm = (-reach * 0.7, side * 0.30, 1.08)
        brush.stroke((0.0, side * 0.24, 1.42), arm, 0.06, top)
        brush.stroke(arm, (-reach * 0.9 + 0.08, side * 0.28, 0.88), 0.05, skin)
    if skirt:
        hem = [brush.place((0.0, s * w, c)) for s, w, c in _SKIRT]
        brush.canvas.polygon(hem, brush.canvas.light.shade(legs, brush.z, (0.0, 0.5, -0.5)))
    _torso(brush, (0.0, 0.0, 0.92), (0.02, 0.0, 1.40), top)
    _head(brush, (0.03, 0.0, 1.62), skin, hair)
    if rng.random() < 0.35:
        bag = vary(rng, TOPS[rng.integers(len(TOPS))], 0.2)
        if rng.random() < 0.5:
            brush.stroke((-0.2, 0.0, 1.12), (-0.2, 0.0, 1.36), 0.15, bag)
        else:
            brush.stroke((0.0, 0.36, 0.66), (0.0, 0.36, 0.78), 0.12, bag)


def _draw_distant_person(brush: Brush, top: Color, legs: Color, hair: Color) -> None:
    for side in (-0.1, 0.1):
        brush.stroke((0.0, side, 0.92), (2 * side, side, 0.0), 0.09, legs)
    brush.stroke((0.0, 0.0, 0.95), (0.0, 0.0, 1.45), 0.2, top)
    brush.ball((0.0, 0.0, 1.62), 0.14, hair)


def draw_bicycle(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a bicycle: two wheels, a frame, a handlebar and a saddle."""
    brush.canvas.begin_thing(BICYCLE)
    paint = vary(rng, FRAMES[rng.integers(len(FRAMES))], 0.15)
    back, front = (-0.55, 0.0, 0.35), (0.55, 0.0, 0.35)
    for hub in (back, front):
        # As in Cityscapes, a wheel belongs to the bicycle with the gaps between its spokes.
        brush.canvas.claim([brush.place(corner) for corner in ring(hub, 0.35)])
        if brush.detail < 14:
            brush.wheel(hub, 0.36, TYRE, (88, 88, 88))
            continue
        rim = ring(hub, 0.33)
        for start, stop in zip(rim, [*rim[1:], rim[0]], strict=True):
            brush.stroke(start, stop, 0.045, TYRE)
    crank, seat, head = (-0.08, 0.0, 0.32), (-0.22, 0.0, 0.82), (0.38, 0.0, 0.86)
    for start, stop in ((back, crank), (crank, seat), (seat, head), (crank, head), (head, front)):
        brush.stroke(start, stop, 0.035, paint)
    brush.stroke(back, seat, 0.03, paint)
    brush.stroke((-0.36, 0.0, 0.92), (-0.1, 0.0, 0.92), 0.06, (34, 32, 32))
    brush.stroke((0.34, -0.27, 1.0), (0.34, 0.27, 1.0), 0.03, (60, 60, 62))
    brush.stroke(head, (0.34, 0.0, 1.0), 0.03, (60, 60, 62))


def draw_motorcycle(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a motorcycle: thick wheels, an engine, a painted tank, a seat and a lamp."""
    brush.canvas.begin_thing(MOTORCYCLE)
    paint = vary(rng, FRAMES[rng.integers(len(FRAMES))], 0.15)
    for along in (-0.72, 0.72):
        wheel = (along, 0.0, 0.32)
        brush.stroke((along, 0.0, 0.06), (along, 0.0, 0.6), 0.09, TYRE)
        brush.wheel(wheel, 0.34, TYRE, (120, 120, 124))
    brush.prism(
        [(-0.42, 0.2, 0.2), (0.36, 0.2, 0.2), (0.4, 0.6, 0.2), (-0.5, 0.6, 0.2)], (72, 72, 76)
    )
    brush.stroke((0.72, 0.0, 0.32), (0.42, 0.0, 0.95), 0.06, (150, 150, 154))
    brush.prism(
        [(-1.0, 0.62, 0.17), (-0.1, 0.56, 0.19), (-0.1, 0.8, 0.19), (-1.0, 0.86, 0.15)], paint
    )
    brush.prism([(-0.12, 0.58, 0.2), (0.44, 0.62, 0.2), (0.4, 1.0, 0.18), (-0.05, 0.9, 0.2)], paint)
    brush.stroke((-0.8, 0.0, 0.9), (-0.15, 0.0, 0.88), 0.1, (36, 34, 34))
    brush.stroke((0.4, -0.38, 1.08), (0.4, 0.38, 1.08), 0.045, (50, 50, 52))
    brush.stroke((0.44, 0.0, 0.8), (0.44, 0.0, 1.1), 0.13, paint)
    if brush.seen_from[0] > 0:
        brush.glow((0.56, 0.0, 0.92), 0.12, (252, 246, 214))
    else:
        brush.glow((-1.04, 0.0, 0.78), 0.08, (226, 36, 30))


def draw_rider(brush: Brush, rng: np.random.Generator, *, seat: float, reach: float) -> None:
    """Draw somebody who sits on a two-wheeler.

    Args:
        brush: Placed where the vehicle is.
        rng: Source of the clothes.
        seat: Height of the saddle in metres.
        reach: How far ahead of the saddle the feet are.
    """
    brush.canvas.begin_thing(RIDER)
    top, legs, skin, hair = _clothes(rng)
    hip = (-0.22, 0.0, seat + 0.08)
    chest = (0.02, 0.0, seat + 0.56)
    for side in (-1.0, 1.0):
        start = (hip[0], side * 0.1, hip[2])
        knee = (hip[0] + 0.4, side * 0.16, seat - 0.08)
        foot = (hip[0] + 0.4 * reach, side * 0.14, seat - 0.56)
        brush.stroke(start, knee, 0.09, legs)
        brush.stroke(knee, foot, 0.07, legs)
        brush.stroke(foot, (foot[0] + 0.14, side * 0.14, foot[2]), 0.06, (34, 30, 30))
        elbow = (0.22, side * 0.28, seat + 0.28)
        brush.stroke((chest[0], side * 0.2, chest[2]), elbow, 0.06, top)
        brush.stroke(elbow, (0.38, side * 0.24, seat + 0.2), 0.05, skin)
    _torso(brush, hip, chest, top)
    crown = vary(rng, TOPS[rng.integers(len(TOPS))], 0.1) if rng.random() < 0.7 else hair
    _head(brush, (chest[0] + 0.08, 0.0, chest[2] + 0.24), skin, crown)


_SKIRT = ((-1.0, 0.16, 1.0), (1.0, 0.16, 1.0), (1.0, 0.27, 0.5), (-1.0, 0.27, 0.5))


def _clothes(rng: np.random.Generator) -> tuple[Color, Color, Color, Color]:
    top = vary(rng, TOPS[rng.integers(len(TOPS))], 0.2)
    legs = vary(rng, TROUSERS[rng.integers(len(TROUSERS))], 0.2)
    skin = SKINS[rng.integers(len(SKINS))]
    return top, legs, skin, HAIRS[rng.integers(len(HAIRS))]


def _torso(brush: Brush, hip: Vector, chest: Vector, color: Color) -> None:
    brush.stroke(hip, chest, 0.17, color)
    forward, _, up = chest
    brush.stroke((forward, -0.16, up), (forward, 0.16, up), 0.09, color)


def _head(brush: Brush, center: Vector, skin: Color, hair: Color) -> None:
    forward, right, up = center
    brush.stroke((forward - 0.02, right, up - 0.2), center, 0.06, skin)
    facing = math.copysign(1.0, brush.seen_from[0] - forward)
    brush.ball((forward - 0.03, right, up + 0.03), 0.135, hair)
    if facing > 0:
        brush.ball((forward + 0.03, right, up - 0.03), 0.115, skin)
