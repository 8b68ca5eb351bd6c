"""Cars, trucks, buses and trains as solids in perspective."""

from __future__ import annotations

import numpy as np

from stl_backbones.datasets.street_scenes.brush import Brush
from stl_backbones.datasets.street_scenes.light import Color
from stl_backbones.datasets.street_scenes.street import vary

CAR, TRUCK, BUS, TRAIN = 13, 14, 15, 16

CAR_PAINTS: tuple[Color, ...] = (
    (212, 212, 214), (150, 154, 158), (44, 46, 50), (160, 32, 34), (36, 66, 134), (88, 96, 104),
    (24, 60, 48), (196, 168, 120), (206, 120, 40), (70, 110, 160),
)  # fmt: skip
BUS_PAINTS: tuple[Color, ...] = ((214, 168, 36), (190, 40, 44), (226, 220, 208), (60, 130, 90))
TRAIN_PAINTS: tuple[Color, ...] = ((216, 214, 206), (70, 100, 150), (200, 190, 70), (150, 44, 48))
BOX_PAINTS: tuple[Color, ...] = ((226, 226, 222), (70, 96, 140), (178, 150, 96), (120, 132, 120))
CAB_PAINTS: tuple[Color, ...] = ((196, 60, 44), (60, 84, 140), (222, 222, 220), (212, 150, 40))

GLASS: Color = (58, 70, 82)
TYRE: Color = (26, 26, 28)
HUB: Color = (150, 150, 154)
RED_LAMP: Color = (226, 36, 30)
WHITE_LAMP: Color = (250, 246, 224)

_FRONT, _BACK = (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)


def draw_car(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a saloon, an estate or a small car: body, narrower cabin, windows, lamps, wheels."""
    brush.canvas.begin_thing(CAR)
    paint = vary(rng, CAR_PAINTS[rng.integers(len(CAR_PAINTS))], 0.15)
    tail, nose, top = ((-1.35, 0.35, 1.42), (-2.0, 0.35, 1.5), (-1.75, 0.75, 1.72))[rng.integers(3)]
    draw_wheels(brush, ((-1.3, 0.33), (1.3, 0.33)), half=0.88, back=-1.9, front=1.9)
    brush.prism(
        [
            (-2.1, 0.22, 0.86), (2.08, 0.22, 0.86), (2.12, 0.62, 0.88), (1.9, 0.8, 0.88),
            (1.0, 0.94, 0.88), (-2.0, 0.96, 0.88), (-2.15, 0.8, 0.88),
        ],
        paint,
    )  # fmt: skip
    rear, windscreen = tail - 0.3, nose + 0.75
    cabin = [(rear, 0.92, 0.84), (windscreen, 0.92, 0.84), (nose, top, 0.66), (tail, top, 0.66)]
    brush.prism(cabin, GLASS)
    _roof(brush, tail, nose, top, paint)
    if brush.detail < 9:
        return
    _pillars(brush, cabin, paint)
    _car_ends(brush, paint)
    for side in seen_sides(brush, 0.9):
        for along in (-1.3, 1.3):
            brush.wheel((along, side * 0.89, 0.33), 0.33, TYRE, HUB)


def draw_truck(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a lorry: a cab in front of a tall box."""
    brush.canvas.begin_thing(TRUCK)
    box = vary(rng, BOX_PAINTS[rng.integers(len(BOX_PAINTS))], 0.12)
    cab = vary(rng, CAB_PAINTS[rng.integers(len(CAB_PAINTS))], 0.12)
    top = float(rng.uniform(2.9, 3.6))
    draw_wheels(brush, ((-2.6, 0.5), (2.6, 0.5)), half=1.15, back=-3.3, front=3.4)
    brush.prism(_block(-3.5, 3.4, 0.5, 0.85, 0.9), (52, 52, 56))
    if brush.seen_from[0] > 1.6:
        _truck_box(brush, top, box, cab)
        _truck_cab(brush, cab)
    else:
        _truck_cab(brush, cab)
        _truck_box(brush, top, box, cab)
    for side in seen_sides(brush, 1.22):
        for along in (-2.6, -1.5, 2.6):
            brush.wheel((along, side * 1.23, 0.5), 0.5, TYRE, HUB)


def _truck_box(brush: Brush, top: float, paint: Color, stripe: Color) -> None:
    brush.prism(_block(-3.6, 1.6, 0.85, top, 1.22), paint)
    for side in seen_sides(brush, 1.22):
        band = _panel(side * 1.23, (-3.3, 1.3), (top * 0.45, top * 0.68))
        brush.face(band, stripe, (0.0, side, 0.0))
    if sees_back(brush, -3.6):
        door = (paint[0] * 0.86, paint[1] * 0.86, paint[2] * 0.86)
        for edges in ((-1.1, -0.06), (0.06, 1.1)):
            brush.face(_plate(-3.61, edges, (1.05, top - 0.2)), door, _BACK)
        _lamps(brush, -3.62, 0.95, 0.72, RED_LAMP)


def _truck_cab(brush: Brush, paint: Color) -> None:
    profile = [(1.7, 0.5, 1.1), (3.55, 0.5, 1.1), (3.55, 1.4, 1.1), (3.2, 2.5, 1.05)]
    brush.prism([*profile, (1.7, 2.5, 1.05)], paint)
    if sees_front(brush, 3.55):
        glass = [(3.53, -0.95, 1.45), (3.53, 0.95, 1.45), (3.25, 0.9, 2.35), (3.25, -0.9, 2.35)]
        brush.face(glass, GLASS, (0.95, 0.0, 0.3))
        brush.face(_plate(3.57, (-0.7, 0.7), (0.75, 1.15)), (40, 40, 44), _FRONT)
        _lamps(brush, 3.58, 0.85, 0.75, WHITE_LAMP)
    for side in seen_sides(brush, 1.1):
        brush.face(_panel(side * 1.11, (2.2, 3.2), (1.5, 2.3)), GLASS, (0.0, side, 0.0))


def draw_bus(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a bus: one long block on wheels with a band of windows and a lit destination."""
    brush.canvas.begin_thing(BUS)
    paint = vary(rng, BUS_PAINTS[rng.integers(len(BUS_PAINTS))], 0.1)
    draw_wheels(brush, ((-3.0, 0.5), (3.4, 0.5)), half=1.2, back=-5.2, front=5.2)
    brush.prism(_block(-5.5, 5.5, 0.35, 3.05, 1.25), paint)
    _window_band(brush, 1.26, (-5.2, 5.2), (1.35, 2.5), 1.45)
    for side in seen_sides(brush, 1.25):
        for along in (-3.0, 3.4):
            brush.wheel((along, side * 1.27, 0.5), 0.5, TYRE, HUB)
    if sees_front(brush, 5.5):
        brush.face(_plate(5.51, (-1.15, 1.15), (1.15, 2.45)), GLASS, _FRONT)
        brush.face(_plate(5.52, (-0.8, 0.8), (2.58, 2.92)), (240, 170, 40), _FRONT)
        _lamps(brush, 5.52, 0.95, 0.75, WHITE_LAMP)
    if sees_back(brush, -5.5):
        brush.face(_plate(-5.51, (-0.95, 0.95), (1.6, 2.5)), GLASS, _BACK)
        brush.face(_plate(-5.51, (-0.8, 0.8), (0.6, 1.3)), (66, 62, 60), _BACK)
        _lamps(brush, -5.52, 1.08, 0.95, RED_LAMP)


def draw_train(brush: Brush, rng: np.random.Generator) -> None:
    """Draw a tram on its track: a long block with sloped ends, a stripe and a pantograph."""
    brush.canvas.begin_thing(TRAIN)
    paint = vary(rng, TRAIN_PAINTS[rng.integers(len(TRAIN_PAINTS))], 0.1)
    stripe = vary(rng, ((40, 70, 130), (170, 40, 44), (60, 110, 70))[rng.integers(3)], 0.1)
    half, low = 1.2, 0.18
    body = [(-9.6, low), (9.6, low), (9.9, 1.2), (9.2, 2.9), (8.4, 3.35), (-8.4, 3.35)]
    profile = [(a, c, half) for a, c in [*body, (-9.2, 2.9), (-9.9, 1.2)]]
    brush.stroke((1.5, 0.0, 3.3), (0.4, 0.0, 3.9), 0.05, (60, 60, 62))
    brush.stroke((0.4, 0.0, 3.9), (1.2, 0.0, 4.5), 0.05, (60, 60, 62))
    brush.stroke((1.2, -0.8, 4.5), (1.2, 0.8, 4.5), 0.05, (60, 60, 62))
    brush.prism(profile, paint)
    for side in seen_sides(brush, half):
        band = _panel(side * (half + 0.01), (-9.7, 9.7), (0.75, 1.2))
        brush.face(band, stripe, (0.0, side, 0.0))
        skirt = _panel(side * (half + 0.01), (-9.5, 9.5), (low, 0.42))
        brush.face(skirt, (58, 58, 62), (0.0, side, 0.0))
    _window_band(brush, half + 0.02, (-8.8, 8.8), (1.45, 2.6), 2.0)
    for end, seen in ((1.0, sees_front(brush, 9.6)), (-1.0, sees_back(brush, -9.6))):
        if seen:
            corners = [(9.86, -1.0, 1.35), (9.86, 1.0, 1.35), (9.3, 0.95, 2.75), (9.3, -0.95, 2.75)]
            glass = [(end * a, b, c) for a, b, c in corners]
            brush.face(glass, GLASS, (end * 0.9, 0.0, 0.4))
            brush.face(_plate(end * 9.75, (-1.2, 1.2), (0.5, 0.95)), stripe, (end, 0.0, 0.0))
            _lamps(brush, end * 9.85, 0.8, 1.1, WHITE_LAMP if end > 0 else RED_LAMP)


def draw_wheels(
    brush: Brush,
    axles: tuple[tuple[float, float], ...],
    *,
    half: float,
    back: float,
    front: float,
) -> None:
    """Draw what is seen of the wheels under the body: tyres from the end, and the dark gap."""
    ahead = brush.seen_from[0]
    end, axle = (front, axles[-1]) if ahead > 0 else (back, axles[0])
    radius = axle[1]
    normal = _FRONT if ahead > 0 else _BACK
    brush.face(_plate(end * 0.9, (-half, half), (0.16, radius)), (18, 18, 20), normal)
    for side in (-1, 1):
        inner, outer = sorted((side * (half - 0.24), side * half))
        brush.face(_plate(axle[0], (inner, outer), (0.0, radius)), TYRE, normal)


def seen_sides(brush: Brush, half: float) -> list[float]:
    """Return -1 or 1 if the left or the right side of a solid is seen, and near enough to draw."""
    across = brush.seen_from[1]
    if abs(across) <= half or brush.detail < 4:
        return []
    return [1.0 if across > 0 else -1.0]


def sees_front(brush: Brush, end: float) -> bool:
    """Return whether the front at ``end`` faces the camera."""
    return brush.seen_from[0] > end


def sees_back(brush: Brush, end: float) -> bool:
    """Return whether the back at ``end`` faces the camera."""
    return brush.seen_from[0] < end


def _block(
    back: float, front: float, low: float, top: float, half: float
) -> list[tuple[float, float, float]]:
    return [(back, low, half), (front, low, half), (front, top, half), (back, top, half)]


def _plate(
    along: float, across: tuple[float, float], heights: tuple[float, float]
) -> list[tuple[float, float, float]]:
    """Return a rectangle across the object's length."""
    (left, right), (low, high) = across, heights
    return [(along, left, low), (along, right, low), (along, right, high), (along, left, high)]


def _panel(
    across: float, along: tuple[float, float], heights: tuple[float, float]
) -> list[tuple[float, float, float]]:
    """Return a rectangle along the object's length."""
    (back, front), (low, high) = along, heights
    return [(back, across, low), (front, across, low), (front, across, high), (back, across, high)]


def _lamps(brush: Brush, along: float, across: float, up: float, color: Color) -> None:
    for side in (-1, 1):
        brush.glow((along, side * across, up), 0.11, color)


def _window_band(
    brush: Brush,
    half: float,
    ends: tuple[float, float],
    heights: tuple[float, float],
    pitch: float,
) -> None:
    for side in seen_sides(brush, half):
        if brush.detail < 8:
            brush.face(_panel(side * half, ends, heights), GLASS, (0.0, side, 0.0))
            continue
        start = ends[0]
        while start + pitch <= ends[1]:
            pane = _panel(side * half, (start + 0.08, start + pitch - 0.08), heights)
            brush.face(pane, GLASS, (0.0, side, 0.0))
            start += pitch


def _roof(brush: Brush, tail: float, nose: float, top: float, paint: Color) -> None:
    roof = [(tail, -0.66), (nose, -0.66), (nose, 0.66), (tail, 0.66)]
    brush.face([(a, b, top + 0.02) for a, b in roof], paint, (0.0, 0.0, 1.0))
    for end, normal in ((tail, _BACK), (nose, _FRONT)):
        brush.face(_plate(end, (-0.67, 0.67), (top - 0.1, top + 0.02)), paint, normal)
    for side in seen_sides(brush, 0.66):
        edge = _panel(side * 0.67, (tail, nose), (top - 0.1, top + 0.02))
        brush.face(edge, paint, (0.0, side, 0.0))


def _pillars(brush: Brush, cabin: list[tuple[float, float, float]], paint: Color) -> None:
    (rear, low, wide), (front, *_), (nose, top, narrow), (tail, *_) = cabin
    for side in seen_sides(brush, wide):
        middle = (tail + nose) / 2
        for foot, head in ((rear, tail), (front, nose), (middle, middle)):
            start, stop = (foot, side * wide, low), (head, side * narrow, top)
            brush.stroke(start, stop, 0.05, paint)


def _car_ends(brush: Brush, paint: Color) -> None:
    dark = (paint[0] * 0.45, paint[1] * 0.45, paint[2] * 0.45)
    if sees_front(brush, 2.1):
        brush.face(_plate(2.13, (-0.5, 0.5), (0.42, 0.6)), (30, 30, 32), _FRONT)
        brush.face(_plate(2.14, (-0.26, 0.26), (0.28, 0.4)), (230, 230, 226), _FRONT)
        _lamps(brush, 2.1, 0.7, 0.66, WHITE_LAMP)
    if sees_back(brush, -2.1):
        brush.face(_plate(-2.14, (-0.86, 0.86), (0.24, 0.42)), dark, _BACK)
        brush.face(_plate(-2.16, (-0.26, 0.26), (0.5, 0.62)), (230, 230, 226), _BACK)
        _lamps(brush, -2.15, 0.74, 0.74, RED_LAMP)
