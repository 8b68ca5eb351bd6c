"""What stands along a street: lamp posts, traffic lights, signs, trees and bushes."""

from __future__ import annotations

import math

import numpy as np

from stl_backbones.datasets.street_scenes import textures
from stl_backbones.datasets.street_scenes.brush import Brush
from stl_backbones.datasets.street_scenes.light import Color, rgb
from stl_backbones.datasets.street_scenes.street import vary

POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN, VEGETATION = 5, 6, 7, 8

STEELS: tuple[Color, ...] = ((112, 116, 118), (76, 82, 80), (150, 152, 150), (58, 66, 62))
CROWNS: tuple[Color, ...] = (
    (72, 108, 46), (92, 124, 52), (58, 90, 48), (116, 130, 56), (172, 124, 44), (80, 104, 70),
)  # fmt: skip
BARKS: tuple[Color, ...] = ((88, 70, 54), (108, 96, 82), (66, 54, 46))
LAMPS: tuple[Color, ...] = ((244, 44, 36), (250, 190, 40), (60, 226, 110))

RED: Color = (204, 30, 38)
BLUE: Color = (28, 84, 176)
WHITE: Color = (240, 240, 236)
YELLOW: Color = (244, 196, 40)


def draw_lamp_post(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a street lamp whose arm reaches over the road."""
    steel = _draw_pole(brush, rng, float(rng.uniform(5.5, 7.5)), 0.09)
    top, arm = 6.0, -math.copysign(1.6, brush.x)
    brush.stroke((0.0, 0.0, top), (0.0, arm, top + 0.35), 0.07, steel)
    brush.stroke((0.0, arm * 0.8, top + 0.3), (0.0, arm * 1.2, top + 0.36), 0.12, steel)


def draw_post(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a bollard or a bare post."""
    _draw_pole(brush, rng, float(rng.uniform(0.9, 3.2)), float(rng.uniform(0.08, 0.13)))


def draw_traffic_light(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a traffic light on its pole: a dark box with one lamp lit."""
    high = float(rng.uniform(2.3, 3.3))
    _draw_pole(brush, rng, high + 1.0, 0.085)
    brush.canvas.begin_thing(TRAFFIC_LIGHT)
    toward = (0.0, 0.0, 0.0)
    housing = vary(rng, (34, 36, 36) if rng.random() < 0.75 else (210, 170, 40), 0.15)
    board = [
        (0.0, -0.27, high),
        (0.0, 0.27, high),
        (0.0, 0.27, high + 1.3),
        (0.0, -0.27, high + 1.3),
    ]
    brush.face(board, housing, toward)
    lit = int(rng.integers(3))
    for lamp, color in enumerate(LAMPS):
        middle = (0.0, 0.0, high + 1.08 - 0.43 * lamp)
        if lamp == lit:
            brush.glow(middle, 0.2, color)
        else:
            brush.ball(middle, 0.17, (color[0] * 0.25, color[1] * 0.25, color[2] * 0.25))


def draw_traffic_sign(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a traffic sign on its pole: round, three- or four-cornered."""
    high = float(rng.uniform(2.1, 2.9))
    _draw_pole(brush, rng, high + 0.4, 0.07)
    brush.canvas.begin_thing(TRAFFIC_SIGN)
    kind = int(rng.integers(6))
    size = float(rng.uniform(0.42, 0.58))
    if kind == 0:
        for radius, color in ((size, RED), (size * 0.7, WHITE)):
            brush.ball((0.0, 0.0, high), radius, color)
        _board(brush, high, size * 0.4, size * 0.12, (40, 40, 44))
    elif kind == 1:
        brush.ball((0.0, 0.0, high), size, BLUE)
        brush.stroke((0.0, 0.0, high - size * 0.5), (0.0, 0.0, high + size * 0.4), 0.07, WHITE)
    elif kind == 2:
        for radius, color in ((size * 1.15, RED), (size * 0.7, WHITE)):
            _regular(brush, high, radius, corners=3, start=math.pi / 2, color=color)
    elif kind == 3:
        for radius, color in ((size * 1.15, WHITE), (size * 0.9, YELLOW)):
            _regular(brush, high, radius, corners=4, start=0.0, color=color)
    elif kind == 4:
        brush.ball((0.0, 0.0, high), size, RED)
        _board(brush, high, size * 0.7, size * 0.14, WHITE)
    else:
        wide = float(rng.uniform(0.6, 1.3))
        _board(brush, high, wide, size, BLUE if rng.random() < 0.6 else (30, 120, 76))
        for line in (-0.35, 0.1, 0.5):
            _board(brush, high + line * size, wide * 0.75, size * 0.09, WHITE)


def draw_tree(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a tree: trunk, and a crown of several leafy lobes."""
    brush.canvas.begin_surface(VEGETATION)
    bark = vary(rng, BARKS[rng.integers(len(BARKS))], 0.15)
    leaves = vary(rng, CROWNS[rng.integers(len(CROWNS))], 0.18)
    tall, wide = float(rng.uniform(4.0, 8.0)), float(rng.uniform(1.3, 2.6))
    brush.stroke((0.0, 0.0, 0.0), (0.0, 0.0, tall * 0.7), float(rng.uniform(0.13, 0.24)), bark)
    if rng.random() < 0.2:  # a slender conifer
        for step in range(6):
            lobe = (0.0, tall * (0.28 + 0.13 * step))
            _leaves(brush, rng, lobe, wide * (0.75 - 0.11 * step), leaves)
        return
    lobes = ((-0.6, 0.0), (0.6, 0.1), (0.0, 0.45), (0.1, -0.1))
    for across, up in lobes if brush.detail > 10 else lobes[:3]:
        middle = (across * wide + float(rng.normal(0, 0.15)), tall * 0.75 + up * wide)
        _leaves(brush, rng, middle, wide * float(rng.uniform(0.65, 0.9)), leaves)


def draw_bush(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a bush."""
    brush.canvas.begin_surface(VEGETATION)
    leaves = vary(rng, CROWNS[rng.integers(len(CROWNS))], 0.2)
    size = float(rng.uniform(0.5, 1.1))
    for across in (-0.6, 0.6, 0.0):
        _leaves(brush, rng, (across * size, size * 0.6), size * 0.8, leaves)


def _draw_pole(brush: Brush, rng: np.random.Generator, high: float, radius: float) -> Color:
    brush.canvas.begin_surface(POLE)
    steel = vary(rng, STEELS[rng.integers(len(STEELS))], 0.15)
    brush.stroke((0.0, 0.0, 0.0), (0.0, 0.0, high), radius, steel)
    if brush.detail > 20:
        bright = (steel[0] * 1.3 + 12, steel[1] * 1.3 + 12, steel[2] * 1.3 + 12)
        brush.stroke((0.0, -radius * 0.4, 0.1), (0.0, -radius * 0.4, high), radius * 0.25, bright)
    return steel


def _board(brush: Brush, middle: float, wide: float, high: float, color: Color) -> None:
    corners = ((-wide, -high), (wide, -high), (wide, high), (-wide, high))
    brush.face([(0.0, b, middle + c) for b, c in corners], color, (0.0, 0.0, 0.0))


def _regular(
    brush: Brush, middle: float, radius: float, *, corners: int, start: float, color: Color
) -> None:
    angles = [start + 2 * math.pi * k / corners for k in range(corners)]
    points = [(0.0, radius * math.cos(a), middle + radius * math.sin(a)) for a in angles]
    brush.face(points, color, (0.0, 0.0, 0.0))


def _leaves(
    brush: Brush,
    rng: np.random.Generator,
    middle: tuple[float, float],
    radius: float,
    color: Color,
) -> None:
    """Paint one lobe of a crown: ragged at its rim, bright where the sun comes from."""
    canvas = brush.canvas
    (column, row), size = brush.place((0.0, *middle)), radius * brush.detail
    top, left = max(int(row - size), 0), max(int(column - size), 0)
    bottom = min(int(row + size) + 2, canvas.camera.height)
    right = min(int(column + size) + 2, canvas.camera.width)
    if top >= bottom or left >= right or size < 1.0:
        return
    down = (np.arange(top, bottom, dtype=np.float32)[:, None] - row) / size
    over = (np.arange(left, right, dtype=np.float32)[None, :] - column) / size
    grain = 30.0 * radius  # texture pixels over one radius: leaves keep their size in the world
    start = rng.uniform(0, textures.TILE, 2).tolist()
    leaf = textures.sample(
        textures.fractal(16, 4), down * grain + start[0] + 512, over * grain + start[1] + 512
    )
    owned = down**2 + over**2 < 0.55 + 0.75 * (leaf - 0.35)
    sun = canvas.light.direction
    tone = 0.28 + 1.05 * leaf - 0.30 * down + 0.18 * over * sun[0]
    colors = rgb(color) * np.clip(tone, 0.2, 1.6)[..., None]
    lit = canvas.light.shade_many(colors, brush.z, (0.0, 0.6, -0.4))
    canvas.stencil(slice(top, bottom), slice(left, right), lit, owned=owned)
