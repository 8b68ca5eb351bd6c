"""What lines the street: buildings, walls, fences and hedges, in perspective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stl_backbones.datasets.street_scenes import textures
from stl_backbones.datasets.street_scenes.canvas import Canvas
from stl_backbones.datasets.street_scenes.light import Color, Vector, rgb
from stl_backbones.datasets.street_scenes.street import Street, vary

BUILDING, WALL, FENCE, VEGETATION = 2, 3, 4, 8
OWNERS = {"building": BUILDING, "wall": WALL, "fence": FENCE, "hedge": VEGETATION}
DEPTHS = {"building": 12.0, "wall": 0.4, "fence": 0.1, "hedge": 1.6}  # metres
_PLASTER, _GLASS, _TRIM, _DOOR, _ROOF, _SIGN = range(6)  # the parts of a house front

REACH = 100.0  # metres; the fronts end here

PLASTERS: tuple[Color, ...] = (
    (206, 188, 158), (190, 178, 168), (170, 92, 72), (150, 80, 64), (176, 160, 120),
    (200, 200, 196), (150, 160, 170), (196, 150, 110), (140, 128, 118), (210, 170, 150),
)  # fmt: skip
STONES: tuple[Color, ...] = ((150, 146, 140), (172, 160, 142), (138, 90, 76), (120, 122, 126))
RAILINGS: tuple[Color, ...] = (
    (46, 52, 50), (120, 86, 58), (196, 192, 186), (66, 88, 70), (140, 144, 148),
)  # fmt: skip
LEAVES: tuple[Color, ...] = (
    (64, 98, 44), (84, 116, 48), (52, 84, 46), (108, 124, 52), (150, 116, 46), (70, 92, 58),
)  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """One piece of frontage.

    Attributes:
        kind: A key of ``OWNERS``.
        side: -1 for left of the street, 1 for right.
        x: Where the plane that faces the street stands.
        near: z of its near end.
        far: z of its far end.
        height: Height in metres.
        color: Colour of its material.
        trim: Colour of frames, cornices and posts.
        pitch: Width of a window bay, or distance of bars, in metres.
        floor: Height of a floor in metres.
        window: Width and height of a window as a part of its bay.
        brick: Whether the material is brick.
        shop: Whether the ground floor is a shop.
        origin: Where textures are sampled.
    """

    kind: str
    side: int
    x: float
    near: float
    far: float
    height: float
    color: Color
    trim: Color
    pitch: float
    floor: float
    window: tuple[float, float]
    brick: bool
    shop: bool
    origin: float


def sample_frontage(
    rng: np.random.Generator, street: Street, *, feature: str | None
) -> list[Segment]:
    """Draw both sides of the street, with a near piece of ``feature`` on one of them."""
    segments = []
    featured = int(rng.choice((-1, 1)))
    for side in (-1, 1):
        z = float(rng.uniform(2.0, 4.0))
        wanted = feature if side == featured else None
        green = rng.random() < 0.25
        while z < REACH:
            if street.junction and street.junction[0] - 3 < z < street.junction[1] + 3:
                z = street.junction[1] + 3
            far = z + float(rng.uniform(10, 26))
            if street.junction and z < street.junction[0]:
                far = min(far, street.junction[0] - 3)
            kind, wanted = wanted or _pick_kind(rng, green=green), None
            if kind != "open" and far > z:
                segments.append(_sample_segment(rng, kind, side, street.front(side), (z, far)))
            z = max(far, z + 0.5)
    return segments


def paint_segment(canvas: Canvas, segment: Segment, glass: Color) -> None:
    """Paint one piece of frontage: the end that faces the camera, then the street side."""
    camera = canvas.camera
    side, x, near = segment.side, segment.x, segment.near
    edge = camera.project(x, 0.0, near)[0]
    outer = camera.project(x + side * DEPTHS[segment.kind], 0.0, near)[0]
    inner = camera.project(x, 0.0, segment.far)[0]
    canvas.begin_surface(OWNERS[segment.kind])

    columns = _columns(edge, outer, camera.width)
    if columns.size:
        along = np.abs((columns - camera.center) * near / camera.focal - x)
        z = np.full_like(columns, near)
        _paint_face(canvas, segment, columns, along + 3.0, z, (0.0, 0.0, -1.0), glass)
    columns = _columns(inner, edge, camera.width)
    # Beside the vanishing point the plane is seen edge-on; its depth there is bounded by its ends.
    columns = columns[side * (columns - camera.center) > 0.5]
    if columns.size:
        z = np.clip(camera.focal * x / (columns - camera.center), near, segment.far)
        _paint_face(canvas, segment, columns, z, z, (-float(side), 0.0, 0.0), glass)


def _pick_kind(rng: np.random.Generator, *, green: bool) -> str:
    kinds = ("building", "wall", "fence", "hedge", "open")
    odds = (0.18, 0.18, 0.24, 0.2, 0.2) if green else (0.72, 0.08, 0.08, 0.05, 0.07)
    return kinds[rng.choice(5, p=odds)]


def _sample_segment(
    rng: np.random.Generator, kind: str, side: int, x: float, ends: tuple[float, float]
) -> Segment:
    tops = {"building": (5, 19), "wall": (1.6, 3.2), "fence": (1.0, 2.0), "hedge": (1.2, 3.5)}
    palette = {"building": PLASTERS, "wall": STONES, "fence": RAILINGS, "hedge": LEAVES}[kind]
    color = vary(rng, palette[rng.integers(len(palette))], 0.15)
    red, green, _ = color
    floor = float(rng.uniform(2.8, 3.6))
    height = float(rng.uniform(*tops[kind]))
    return Segment(
        kind=kind,
        side=side,
        x=x + side * float(rng.uniform(0, 0.8)),
        near=ends[0],
        far=ends[1],
        height=max(1, round(height / floor)) * floor + 0.8 if kind == "building" else height,
        color=color,
        trim=vary(rng, (214, 208, 198) if rng.random() < 0.6 else (92, 74, 62), 0.2),
        pitch=float(rng.uniform(2.0, 3.4) if kind == "building" else rng.uniform(0.25, 0.5)),
        floor=floor,
        window=(float(rng.uniform(0.4, 0.7)), float(rng.uniform(0.42, 0.66))),
        brick=bool(red > green * 1.3 or rng.random() < 0.2),
        shop=bool(rng.random() < 0.5),
        origin=float(rng.uniform(0, 64)),
    )


def _columns(start: float, stop: float, width: int) -> np.ndarray:
    low, high = max(min(start, stop), 0.0), min(max(start, stop), float(width))
    return np.arange(int(np.ceil(low)), int(np.ceil(high)), dtype=np.float32)


def _paint_face(
    canvas: Canvas,
    segment: Segment,
    columns: np.ndarray,
    along: np.ndarray,
    z: np.ndarray,
    normal: Vector,
    glass: Color,
) -> None:
    """Paint an upright plane given, per column, the metres along it and its distance."""
    camera = canvas.camera
    tall = segment.height * (1.3 if segment.kind == "hedge" else 1.0)
    top = int(camera.horizon - (tall - camera.eye) * camera.focal / z.min())
    bottom = int(camera.horizon + camera.eye * camera.focal / z.min()) + 2
    rows = slice(min(max(top, 0), camera.height), min(max(bottom, 0), camera.height))
    if rows.start >= rows.stop:
        return
    row = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    height = camera.eye - (row - camera.horizon) * (z / camera.focal)
    along = along + segment.origin
    sharp = camera.focal / z
    opaque = owned = (height >= 0) & (height <= segment.height)
    if segment.kind == "building":
        colors = _facade(segment, along, height, sharp, glass)
    elif segment.kind == "hedge":
        rough = textures.sample(textures.fractal(16, 3), np.zeros_like(along), along * 24)
        owned = opaque = (height >= 0) & (height <= segment.height * (0.75 + 0.5 * rough))
        colors = _foliage(segment, along, height)
    elif segment.kind == "wall":
        colors = _masonry(segment, along, height, sharp)
    else:
        colors = np.broadcast_to(rgb(segment.color), (*height.shape, 3))
        opaque = owned & _bars(segment, along, height)
    lit = canvas.light.shade_many(colors, z, normal)
    start = int(columns[0])
    where = slice(start, start + len(columns))
    canvas.stencil(rows, where, lit, owned=owned, opaque=opaque)


def _material(
    segment: Segment, along: np.ndarray, height: np.ndarray, sharp: np.ndarray
) -> np.ndarray:
    """Return the brightness of plaster or brick, around 1."""
    u, v = along * 32, height * 32
    stains = textures.sample(textures.fractal(8, 4), v / 4, u / 4) - 0.5
    tone = 1.0 + 0.22 * stains
    if segment.brick:
        detail = textures.sample(textures.bricks(), v * 0.6, u * 0.6) - 1.0
        tone = tone * (1.0 + detail * textures.fade(sharp / 6))
    return tone


def _facade(
    segment: Segment, along: np.ndarray, height: np.ndarray, sharp: np.ndarray, glass: Color
) -> np.ndarray:
    """Return the colours of a house front: material, windows with frames, shop, cornice."""
    bay, level = along / segment.pitch, height / segment.floor
    across, up = np.abs(bay % 1 - 0.5) * 2, np.abs(level % 1 - 0.52) * 2
    wide, high = segment.window
    part = np.zeros(height.shape, np.uint8)
    part[(across < wide + 0.10) & (up < high + 0.12)] = _TRIM
    part[(across < wide) & (up < high)] = _GLASS
    ground = level < 1
    if segment.shop:
        part[ground] = _PLASTER
        part[ground & (level > 0.16) & (level < 0.78) & (across < 0.88)] = _GLASS
        part[ground & (level > 0.80)] = _SIGN
    else:
        door = (bay.astype(np.int32) % 4 == 1) & (across < 0.45)
        part[(level < 0.72) & door] = _DOOR
    part[height > segment.height - 0.8] = _TRIM
    part[height > segment.height - 0.25] = _ROOF
    trim = rgb(segment.trim)
    sign = trim * rgb((0.5, 0.8, 0.6) if segment.brick else (0.9, 0.5, 0.4))
    door = trim * rgb((0.35, 0.30, 0.28))
    palette = np.stack([rgb(segment.color), rgb(glass), trim, door, rgb((88, 70, 66)), sign])
    tone = _material(segment, along, height, sharp)
    panes = textures.sample(textures.value_noise(128), level.astype(int) * 2, bay.astype(int) * 2)
    mirrored = (0.45 + 0.9 * panes) * (0.8 + 0.4 * (level % 1))
    tone = np.where(part == _GLASS, mirrored, np.where(part == _PLASTER, tone, np.float32(1.0)))
    return np.take(palette, part, axis=0) * tone[..., None]


def _masonry(
    segment: Segment, along: np.ndarray, height: np.ndarray, sharp: np.ndarray
) -> np.ndarray:
    tone = _material(segment, along, height, sharp)
    panel = (along % 3.0 < 0.12) & (height < segment.height - 0.2)
    cap = height > segment.height - 0.2
    tone = np.where(cap, 1.25, np.where(panel, 0.7, tone))
    tone = tone * (0.75 + 0.25 * np.clip(height, 0, 1))
    return rgb(segment.color) * tone[..., None].astype(np.float32)


def _foliage(segment: Segment, along: np.ndarray, height: np.ndarray) -> np.ndarray:
    leaves = textures.sample(textures.fractal(32, 3), height * 40, along * 40)
    tone = (0.45 + 1.0 * leaves) * (0.75 + 0.25 * np.clip(height / segment.height, 0, 1))
    return (rgb(segment.color) * tone[..., None]).astype(np.float32)


def _bars(segment: Segment, along: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return where a fence has something to paint: posts, bars and rails."""
    post = along % 2.4 < 0.16
    bars = (along / segment.pitch) % 1 < (0.62 if segment.brick else 0.35)
    rail = np.abs(height - 0.18) < 0.07
    rail |= np.abs(height - (segment.height - 0.12)) < 0.09
    return post | bars | rail
