"""What is behind and below everything: the sky, the end of the street, the ground."""

from __future__ import annotations

import cv2
import numpy as np

from stl_backbones.datasets.street_scenes import textures
from stl_backbones.datasets.street_scenes.canvas import GROUND, OWNER_IGNORE, Canvas
from stl_backbones.datasets.street_scenes.light import Color, rgb
from stl_backbones.datasets.street_scenes.street import BAY, KERB, LANE, Street, vary

ROAD, SIDEWALK, BUILDING, VEGETATION, TERRAIN, SKY = 0, 1, 2, 8, 9, 10

_UP = (0.0, 1.0, 0.0)
_BACK = (0.0, 0.0, -1.0)
_END = 130.0  # metres to what closes the street


def paint_sky(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a gradient from zenith to horizon with clouds, down to where the ground begins."""
    camera, weather = canvas.camera, canvas.light.weather
    last = min(max(int(camera.horizon) + 2, 0), camera.height)
    if last == 0:
        return
    # The sky has no edges: a quarter of its pixels say it all.
    rows = np.arange(0, last, 2, dtype=np.float32)[:, None]
    columns = np.arange(0, camera.width, 2, dtype=np.float32)[None, :]
    height = np.clip((camera.horizon - rows) / (0.7 * camera.focal), 0.0, 1.0)
    low, top = rgb(weather.sky_low), rgb(weather.sky_top)
    colors = low + (top - low) * np.sqrt(height)[..., None]
    # Clouds lie in a plane overhead, so they get flatter and denser towards the horizon.
    depth = 40.0 / (height + 0.25)
    start = rng.uniform(0, textures.TILE, 2).tolist()
    spread = (columns - camera.center) / camera.focal
    noise = textures.sample(textures.fractal(4, 5), start[0] + 4 * depth, start[1] + spread * depth)
    cover = np.clip((noise - 0.95 + 0.75 * weather.clouds) * 3.5, 0.0, 0.9)[..., None]
    white = np.clip(low * 1.04 + 8, 0, 255)
    cloud = white * (0.78 + 0.22 * noise[..., None])
    colors = cv2.resize(colors + (cloud - colors) * cover, (camera.width, last))
    owners = np.full((last, camera.width), SKY, np.uint8)
    canvas.patch(slice(0, last), slice(None), colors, owners=owners)


def paint_skyline(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint the far end of the street: roofs or tree tops in the haze."""
    camera, light = canvas.camera, canvas.light
    reach = 0.6 * camera.width * _END / camera.focal + 20.0
    left = -reach - (camera.center - camera.width / 2) * _END / camera.focal
    wooded = rng.random() < 0.5
    while left < reach * 1.4:
        width = rng.uniform(8, 22)
        if wooded or rng.random() < 0.3:
            canvas.begin_surface(VEGETATION)
            color = light.shade(vary(rng, (66, 96, 54), 0.15), _END, _BACK)
            for _ in range(3):
                middle, top = left + rng.uniform(0, width), rng.uniform(3, 9)
                place = camera.project(middle, top - 4, _END)
                canvas.disc(place, rng.uniform(4, 8) * camera.focal / _END, color)
        else:
            canvas.begin_surface(BUILDING)
            color = light.shade(vary(rng, (150, 138, 128), 0.25), _END, _BACK)
            corners = [(left, -3.0), (left, t := rng.uniform(7, 24)), (left + width, t)]
            corners.append((left + width, -3.0))
            canvas.polygon([camera.project(x, y, _END) for x, y in corners], color)
        left += width * 0.85


def paint_ground(canvas: Canvas, street: Street, rng: np.random.Generator) -> None:
    """Paint road, pavements and grass by looking up what lies under every pixel."""
    camera = canvas.camera
    first = min(max(int(camera.horizon) + 2, 0), camera.height)
    if first == camera.height:
        return
    rows = np.arange(first, camera.height, dtype=np.float32)[:, None]
    columns = np.arange(camera.width, dtype=np.float32)[None, :]
    z = camera.focal * camera.eye / (rows - camera.horizon)
    x = (columns - camera.center) * (z / camera.focal)
    road, walk = _areas(street, x, z)
    owners = np.where(road, np.uint8(ROAD), np.where(walk, np.uint8(SIDEWALK), np.uint8(TERRAIN)))
    u, v = (x + street.origin[0]) * 32, (z + street.origin[1]) * 32
    # A metre of ground covers this many rows; a texture finer than that must vanish, not flicker.
    sharp = camera.focal * camera.eye / z**2
    tone = _asphalt(u, v, sharp)
    if walk.any():
        kerbstone = np.float32(rng.uniform(1.1, 1.3))
        np.copyto(tone, _paving(street, x, u, v, sharp, kerbstone=kerbstone), where=walk)
    if not (road | walk).all():
        np.copyto(tone, _grass(u, v, sharp), where=owners == TERRAIN)
    tone *= _sunlight(canvas, street, x, z, v)
    palette = np.zeros((TERRAIN + 1, 3), np.float32)
    palette[list(GROUND)] = street.asphalt, street.paving, street.grass
    colors = palette[owners] * tone[..., None]
    wear = textures.sample(textures.fractal(16, 3), v / 2, u / 2)
    _mark_road(colors, street, x, z, wear=np.where(road, wear, np.float32(np.inf)))
    canvas.patch(
        slice(first, camera.height),
        slice(None),
        canvas.light.shade_many(colors, z, _UP),
        owners=owners,
    )


def paint_bonnet(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint the camera's own car along the lower edge; it is ignored by every metric."""
    width, height = canvas.camera.width, canvas.camera.height
    rise = height * rng.uniform(0.03, 0.06)
    middle = width * rng.uniform(0.46, 0.54)
    arc = np.linspace(0, np.pi, 17)
    columns, rows = middle + 0.42 * width * np.cos(arc), height + 1 - rise * np.sin(arc) ** 0.5
    canvas.begin_surface(OWNER_IGNORE)
    color = canvas.light.shade(vary(rng, (60, 62, 68), 0.5), 1.0, _UP)
    canvas.polygon([*zip(columns.tolist(), rows.tolist(), strict=True)], color)


def _areas(street: Street, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the road and where the pavement is."""
    road = (x > street.left) & (x < street.right)
    walk = np.zeros_like(road)
    for side in (-1, 1):
        inner, outer = street.walk(side)
        walk |= (side * x >= side * inner) & (side * x < side * outer)
        edge = street.left if side < 0 else street.right
        walk |= (side * x >= side * edge) & (side * x < side * edge + KERB)
    if street.junction:
        near, far = street.junction
        crossing = (z > near) & (z < far)
        road, walk = road | crossing, walk & ~crossing
        kerb = (z > near - 3.0) & (z < far + 3.0) & ~road
        walk |= kerb
    return road, walk


def _asphalt(u: np.ndarray, v: np.ndarray, sharp: np.ndarray) -> np.ndarray:
    """Return the brightness of the road, around 1."""
    fine = textures.sample(textures.fractal(64, 2), v, u) - 0.5
    patches = textures.sample(textures.fractal(4, 4), v / 8, u / 4) - 0.5
    return 1.0 + fine * (0.28 * textures.fade(sharp / 4)) + 0.30 * patches


def _paving(
    street: Street,
    x: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    sharp: np.ndarray,
    *,
    kerbstone: np.float32,
) -> np.ndarray:
    """Return the brightness of the pavement, around 1."""
    tone = 0.85 + 0.3 * textures.sample(textures.fractal(8, 4), v / 4, u / 4)
    if street.slabs:
        tone *= 1.0 + (textures.sample(textures.slabs(), v, u) - 1.0) * textures.fade(sharp / 2)
    kerb = (x < street.right + KERB) & (x > street.left - KERB)
    return np.where(kerb, kerbstone, tone)


def _grass(u: np.ndarray, v: np.ndarray, sharp: np.ndarray) -> np.ndarray:
    """Return the brightness of the grass, around 1."""
    blades = textures.sample(textures.fractal(64, 2), v / 2, u) - 0.5
    patches = textures.sample(textures.fractal(8, 3), v / 8, u / 8) - 0.5
    return 1.0 + blades * (0.7 * textures.fade(sharp / 3)) + 0.35 * patches


def _mark_road(
    colors: np.ndarray, street: Street, x: np.ndarray, z: np.ndarray, *, wear: np.ndarray
) -> None:
    """Paint lane lines, the zebra crossing and rails, in place, where ``wear`` is finite."""
    dashes = (z + street.origin[1]) % 6.0 < 3.2
    paint = np.abs(x + LANE / 2) < 0.09
    for lane in range(1 - street.ahead, street.oncoming):
        paint |= (np.abs(x + LANE * (lane + 0.5)) < 0.08) & dashes
    for bay, edge in zip(street.bays, (street.left, street.right), strict=True):
        inset = BAY if bay else 0.3
        paint |= np.abs(x - edge + np.sign(edge) * inset) < 0.07
    if street.junction:
        near, far = street.junction
        paint &= (z < near - 1) | (z > far + 1)
    if street.zebra:
        bars = (x % 1.1 < 0.55) & (x > street.left + 0.3) & (x < street.right - 0.3)
        paint |= bars & (np.abs(z - street.zebra) < 1.6)
    paint &= np.isfinite(wear)
    strength = np.clip(1.35 - 0.9 * wear[paint], 0.25, 0.95)[:, None]
    colors[paint] += (rgb((222, 222, 214)) - colors[paint]) * strength
    if street.rails is not None:
        offset = np.abs(np.abs(x - street.rails) - 0.72)
        colors[offset < 0.10] = (70, 66, 64)
        colors[offset < 0.05] = (176, 172, 168)


def _sunlight(
    canvas: Canvas, street: Street, x: np.ndarray, z: np.ndarray, v: np.ndarray
) -> np.ndarray:
    """Return the brightness that the shadow of the houses on the sun's side leaves."""
    sun = canvas.light.weather.sun
    incident = canvas.light.incident(_UP)
    across, up, _ = canvas.light.direction
    side = 1 if across > 0 else -1
    length = 9.0 * abs(across) / up
    ragged = textures.sample(textures.value_noise(16), v / 6, np.zeros_like(v))
    covered = side * (x - street.front(side)) + length * (0.75 + 0.35 * ragged) > 0
    if street.junction:
        near, far = street.junction
        covered &= (z < near) | (z > far)
    dark = 1.0 - 0.85 * sun[1] * max(0.0, up) / incident[1]
    return np.where(covered, np.float32(dark), np.float32(1.0))


def sky_reflection(canvas: Canvas) -> Color:
    """Return the colour of a window that mirrors the sky."""
    low, top = canvas.light.weather.sky_low, canvas.light.weather.sky_top
    red, green, blue = (0.25 * a + 0.25 * b + 15 for a, b in zip(low, top, strict=True))
    return red, green, blue
