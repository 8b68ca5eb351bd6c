"""One generated street scene: picture, labels and instance masks from a seed and a number."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from stl_backbones.datasets.street_scenes import furniture, people, textures, vehicles
from stl_backbones.datasets.street_scenes.backdrop import (
    paint_bonnet,
    paint_ground,
    paint_sky,
    paint_skyline,
    sky_reflection,
)
from stl_backbones.datasets.street_scenes.brush import Brush
from stl_backbones.datasets.street_scenes.camera import NEAREST, Camera
from stl_backbones.datasets.street_scenes.canvas import FIRST_THING, OWNER_IGNORE, Canvas, Point
from stl_backbones.datasets.street_scenes.frontage import Segment, paint_segment, sample_frontage
from stl_backbones.datasets.street_scenes.layout import (
    AWAY,
    FOOTPRINTS,
    TOWARDS,
    Placed,
    sample_objects,
    sample_trees_behind,
)
from stl_backbones.datasets.street_scenes.light import sample_light
from stl_backbones.datasets.street_scenes.street import Street, sample_street
from stl_backbones.errors import InputError

MIN_HEIGHT, MIN_WIDTH = 64, 128
SUPERSAMPLING = 2  # every pixel is the mean of 2 x 2 painted ones, which smooths the edges
# Scenes take turns in showing a rare class near, so that a few dozen of them show every class.
FEATURES = ("train", "wall", "bus", "motorcycle", "train", "fence", "truck", "cyclist")


@dataclass(frozen=True)
class Instance:
    """One counted thing.

    Attributes:
        category: Cityscapes trainId.
        mask: ``(H, W)`` bool, what is seen of it behind nearer things.
    """

    category: int
    mask: np.ndarray


@dataclass(frozen=True)
class Crop:
    """One object, large in a square picture.

    Attributes:
        image: ``(size, size, 3)`` uint8 RGB.
        mask: ``(size, size)`` bool, the pixels of what the kind is named after: a ridden bicycle
            without its rider, a traffic sign without its pole.
    """

    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Scene:
    """One street scene.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        labels: ``(H, W)`` uint8 Cityscapes trainIds, 255 where ignored.
        instances: Traffic lights and signs, persons, riders and vehicles that are seen.
    """

    image: np.ndarray
    labels: np.ndarray
    instances: tuple[Instance, ...]


def render_scene(index: int, *, seed: int = 0, height: int = 192, width: int = 384) -> Scene:
    """Render one street scene, a function of the arguments alone.

    Args:
        index: Number of the scene.
        seed: Seed of the data set.
        height: Rows of the picture.
        width: Columns of the picture.

    Returns:
        The scene.

    Raises:
        ValueError: If the picture is too small or a number is negative.
    """
    if index < 0 or seed < 0:
        raise InputError(f"index and seed must be 0 or more, got {index} and {seed}")
    check_size(height=height, width=width)
    rng = np.random.default_rng((seed, index))
    feature = FEATURES[index % len(FEATURES)]
    street = sample_street(rng, tram=feature == "train")
    canvas = Canvas(_sample_camera(rng, height, width), sample_light(rng))
    _paint_surroundings(canvas, street, rng, feature=feature)
    objects = sample_objects(rng, street, feature=feature)
    _paint_objects(canvas, rng, objects)
    if rng.random() < 0.5:
        paint_bonnet(canvas, rng)
    return _develop(canvas, rng)


def render_object(kind: str, index: int, *, seed: int = 0, size: int = 64) -> Crop:
    """Render one object in its surroundings, large in a square picture.

    Args:
        kind: A key of ``layout.FOOTPRINTS``.
        index: Number of the picture.
        seed: Seed of the data set.
        size: Rows and columns of the picture.

    Returns:
        The picture, and where the object is in it.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind not in FOOTPRINTS:
        raise InputError(f"kind must be one of {sorted(FOOTPRINTS)}, got {kind!r}")
    # From 1: a seed that ends in 0 is the same seed without it, that of the scene.
    rng = np.random.default_rng((seed, index, 1 + sorted(FOOTPRINTS).index(kind)))
    street = sample_street(rng, tram=kind == "train")
    light = sample_light(rng)
    placed = Placed(
        kind,
        x=float(rng.uniform(-5, 5)),
        z=float(rng.uniform(8, 15)) + 1.5 * FOOTPRINTS[kind][0],
        yaw=_sample_heading(rng, kind),
        size=float(rng.uniform(0.9, 1.1)),
    )
    camera = _aim_camera(rng, placed, size)
    canvas = Canvas(camera, light)
    _paint_surroundings(canvas, street, rng, feature=None)
    behind = [
        other for other in sample_objects(rng, street, feature=None) if other.z > placed.z + 6
    ]
    objects = [other for other in behind if _in_view(camera, other)]
    _cast_shadows(canvas, [*objects, placed])
    for other in objects:
        _draw(canvas, rng, other)
    mask = _outline(canvas, rng, placed)
    _draw(canvas, rng, placed)
    return Crop(_develop(canvas, rng).image, mask)


def _outline(canvas: Canvas, rng: np.random.Generator, placed: Placed) -> np.ndarray:
    """Return where an object is going to be painted, ``(H, W)`` bool in the picture's pixels."""
    trial = copy.deepcopy(canvas)
    trial.pixels[..., 3] = OWNER_IGNORE  # what stands behind may be of the same category
    _draw(trial, copy.deepcopy(rng), placed)
    return np.asarray(_categories(trial) == _NAMED_AFTER[placed.kind])


def _sample_heading(rng: np.random.Generator, kind: str) -> float:
    """Draw a heading; what is long is shown from its ends, or it would be a thin line."""
    turn = 0.45 if kind in ("bus", "train", "truck") else math.pi / 2
    return float(rng.choice((AWAY, TOWARDS))) + float(rng.uniform(-turn, turn))


def check_size(*, height: int, width: int) -> None:
    """Raise ``ValueError`` if a scene of this size would be too small to show anything."""
    if height < MIN_HEIGHT or width < MIN_WIDTH:
        raise InputError(
            f"a scene must be at least {MIN_WIDTH}x{MIN_HEIGHT} pixels (width x height), "
            f"got {width}x{height}"
        )


def _sample_camera(rng: np.random.Generator, height: int, width: int) -> Camera:
    wide, high = SUPERSAMPLING * width, SUPERSAMPLING * height
    return Camera(
        width=wide,
        height=high,
        focal=max(wide, 1.6 * high) * float(rng.uniform(0.58, 0.78)),
        center=wide * float(rng.uniform(0.44, 0.56)),
        horizon=high * float(rng.uniform(0.38, 0.48)),
        eye=float(rng.uniform(1.45, 2.0)),
    )


# Metres from the ground to the middle of what a crop shows, and the height shown.
_UPRIGHT = {
    "car": (0.75, 1.5), "truck": (1.7, 3.4), "bus": (1.6, 3.2), "train": (1.9, 3.8),
    "motorcycle": (0.6, 1.2), "motorcyclist": (0.85, 1.7), "bicycle": (0.5, 1.0),
    "cyclist": (0.85, 1.7), "person": (0.88, 1.76), "lamp_post": (3.2, 6.4), "post": (0.9, 1.8),
    "traffic_light": (3.4, 2.7), "traffic_sign": (2.2, 1.7), "tree": (3.4, 6.8), "bush": (0.6, 1.2),
}  # fmt: skip


def _aim_camera(rng: np.random.Generator, placed: Placed, size: int) -> Camera:
    """Return a camera that sees the object in the middle, as large as the picture allows."""
    middle, tall = (metres * placed.size for metres in _UPRIGHT[placed.kind])
    long, wide = (metres * placed.size for metres in FOOTPRINTS[placed.kind])
    across = 2 * (long * abs(math.sin(placed.yaw)) + wide * abs(math.cos(placed.yaw)))
    near = placed.z - long * abs(math.cos(placed.yaw))
    pixels = SUPERSAMPLING * size
    focal = pixels * float(rng.uniform(0.62, 0.92)) * near / max(tall, 0.8 * across)
    eye = float(rng.uniform(1.4, 2.0))
    jitter = rng.uniform(-0.06, 0.06, 2) * pixels
    return Camera(
        width=pixels,
        height=pixels,
        focal=focal,
        center=pixels / 2 - focal * placed.x / placed.z + float(jitter[0]),
        horizon=pixels / 2 - focal * (eye - middle) / placed.z + float(jitter[1]),
        eye=eye,
    )


def _paint_surroundings(
    canvas: Canvas, street: Street, rng: np.random.Generator, *, feature: str | None
) -> None:
    """Paint all that objects stand in front of, the farthest first."""
    paint_sky(canvas, rng)
    paint_skyline(canvas, rng)
    paint_ground(canvas, street, rng)
    glass = sky_reflection(canvas)
    segments = sample_frontage(
        rng, street, feature=feature if feature in ("wall", "fence") else None
    )
    trees = [t for t in sample_trees_behind(rng, street) if _in_view(canvas.camera, t)]
    behind: list[Segment | Placed] = [*segments, *trees]
    for far in sorted(behind, key=_nearest, reverse=True):
        if isinstance(far, Placed):
            _draw(canvas, rng, far)
        else:
            paint_segment(canvas, far, glass)


def _nearest(item: Segment | Placed) -> float:
    return item.z if isinstance(item, Placed) else item.near


def _paint_objects(canvas: Canvas, rng: np.random.Generator, objects: list[Placed]) -> None:
    objects = [placed for placed in objects if _in_view(canvas.camera, placed)]
    _cast_shadows(canvas, objects)
    for placed in objects:
        _draw(canvas, rng, placed)


def _cast_shadows(canvas: Canvas, objects: list[Placed]) -> None:
    shadows = [_sun_shadow(canvas, placed) for placed in objects]
    canvas.darken([*shadows, *((_foot(canvas, placed), 0.6) for placed in objects)])


def _in_view(camera: Camera, placed: Placed) -> bool:
    """Return whether anything of an object can be inside the picture."""
    reach = placed.size * (FOOTPRINTS[placed.kind][0] + (4.0 if placed.kind == "tree" else 2.2))
    scales = [camera.focal / max(placed.z + s * reach, NEAREST) for s in (-1, 1)]
    left = min((placed.x - reach) * scale for scale in scales)
    right = max((placed.x + reach) * scale for scale in scales)
    lowest = max(camera.eye * scale for scale in scales)
    tallest = min((camera.eye - 12.0) * scale for scale in scales)
    return bool(
        camera.center + left < camera.width
        and camera.center + right > 0
        and camera.horizon + tallest < camera.height
        and camera.horizon + lowest > 0
    )


def _draw(canvas: Canvas, rng: np.random.Generator, placed: Placed) -> None:
    brush = Brush(canvas, placed.x, placed.z, yaw=placed.yaw, size=placed.size)
    for draw in _DRAWN_AS[placed.kind]:
        draw(brush, rng)
        if brush.detail > 14:
            canvas.roughen(textures.fractal(32, 3), 0.22)


def _ride_bicycle(brush: Brush, rng: np.random.Generator) -> None:
    people.draw_rider(brush, rng, seat=0.92, reach=0.4)


def _ride_motorcycle(brush: Brush, rng: np.random.Generator) -> None:
    people.draw_rider(brush, rng, seat=0.86, reach=0.7)


_DRAWN_AS: dict[str, tuple[Callable[[Brush, np.random.Generator], None], ...]] = {
    "car": (vehicles.draw_car,),
    "truck": (vehicles.draw_truck,),
    "bus": (vehicles.draw_bus,),
    "train": (vehicles.draw_train,),
    "motorcycle": (people.draw_motorcycle,),
    "motorcyclist": (people.draw_motorcycle, _ride_motorcycle),
    "bicycle": (people.draw_bicycle,),
    "cyclist": (people.draw_bicycle, _ride_bicycle),
    "person": (people.draw_person,),
    "lamp_post": (furniture.draw_lamp_post,),
    "post": (furniture.draw_post,),
    "traffic_light": (furniture.draw_traffic_light,),
    "traffic_sign": (furniture.draw_traffic_sign,),
    "tree": (furniture.draw_tree,),
    "bush": (furniture.draw_bush,),
}

# Kind -> Cityscapes trainId of the part that it is named after.
_NAMED_AFTER = {
    "car": vehicles.CAR, "truck": vehicles.TRUCK, "bus": vehicles.BUS, "train": vehicles.TRAIN,
    "motorcycle": people.MOTORCYCLE, "motorcyclist": people.MOTORCYCLE,
    "bicycle": people.BICYCLE, "cyclist": people.BICYCLE, "person": people.PERSON,
    "lamp_post": furniture.POLE, "post": furniture.POLE, "tree": furniture.VEGETATION,
    "traffic_light": furniture.TRAFFIC_LIGHT, "traffic_sign": furniture.TRAFFIC_SIGN,
    "bush": furniture.VEGETATION,
}  # fmt: skip


def _sun_shadow(canvas: Canvas, placed: Placed) -> tuple[list[Point], float]:
    """Return the ground that an object keeps the sun from, and the light it takes."""
    across, up, along = canvas.light.direction
    reach = min(_UPRIGHT[placed.kind][1], 3.0) / up
    tip = replace(placed, x=placed.x - across * reach, z=placed.z - along * reach)
    corners = np.array([*_foot(canvas, placed), *_foot(canvas, tip)], np.float32)
    sun = canvas.light.weather.sun[1]
    hull = [(float(u), float(v)) for u, v in cv2.convexHull(corners)[:, 0]]
    return hull, 0.75 * sun / (sun + 0.65)


def _foot(canvas: Canvas, placed: Placed) -> list[Point]:
    """Return where the corners of the ground under an object are seen, in order."""
    long, wide = FOOTPRINTS[placed.kind]
    brush = Brush(canvas, placed.x, placed.z, yaw=placed.yaw, size=placed.size)
    corners = ((-long, -wide), (long, -wide), (long, wide), (-long, wide))
    return [brush.place((forward, right, 0.0)) for forward, right in corners]


def _develop(canvas: Canvas, rng: np.random.Generator) -> Scene:
    """Turn the painted canvas into a picture with a lens's and a sensor's flaws, and its masks."""
    step = SUPERSAMPLING
    width, height = canvas.camera.width // step, canvas.camera.height // step
    colors = cv2.resize(canvas.pixels, (width, height), interpolation=cv2.INTER_AREA)[..., :3]
    noise = rng.standard_normal((height, width), np.float32) * np.float32(rng.uniform(1.0, 3.5))
    colors = colors + noise[..., None] + rng.standard_normal((height, width, 3), np.float32)
    image = np.clip(np.rint(colors), 0, 255).astype(np.uint8)
    owners = _owners(canvas)
    seen = np.unique(owners[owners >= FIRST_THING])
    instances = tuple(Instance(canvas.categories[owner], owners == owner) for owner in seen)
    return Scene(image, _categories(canvas), instances)


def _owners(canvas: Canvas) -> np.ndarray:
    """Return the owner of each of the picture's pixels."""
    step = SUPERSAMPLING
    return canvas.pixels[step // 2 :: step, step // 2 :: step, 3].astype(np.intp)


def _categories(canvas: Canvas) -> np.ndarray:
    """Return the trainId of each of the picture's pixels, ``(H, W)`` uint8."""
    return np.asarray(canvas.categories, np.uint8)[_owners(canvas)]
