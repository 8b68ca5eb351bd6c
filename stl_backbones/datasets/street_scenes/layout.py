"""Where the objects of a street scene stand: traffic, parked cars, people, posts and trees."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from stl_backbones.datasets.street_scenes.street import BAY, LANE, Street

AWAY, TOWARDS, RIGHTWARDS = 0.0, math.pi, math.pi / 2

# Half length and half width in metres: room taken on the ground, and the shape of the shadow.
FOOTPRINTS = {
    "car": (2.15, 0.9),
    "truck": (3.6, 1.25),
    "bus": (5.5, 1.25),
    "train": (9.9, 1.25),
    "motorcycle": (1.05, 0.35),
    "motorcyclist": (1.05, 0.4),
    "bicycle": (0.9, 0.25),
    "cyclist": (0.9, 0.3),
    "person": (0.25, 0.3),
    "lamp_post": (0.12, 0.12),
    "post": (0.12, 0.12),
    "traffic_light": (0.2, 0.3),
    "traffic_sign": (0.15, 0.4),
    "tree": (0.3, 0.3),
    "bush": (0.6, 0.8),
}


@dataclass(frozen=True)
class Placed:
    """An object on its spot.

    Attributes:
        kind: A key of ``FOOTPRINTS``.
        x: Metres to the right of the camera.
        z: Metres ahead of the camera.
        yaw: Heading in radians, 0 away from the camera.
        size: Factor on every length.
    """

    kind: str
    x: float
    z: float
    yaw: float = AWAY
    size: float = 1.0


@dataclass
class Lot:
    """A street that is being filled; no two objects take the same ground."""

    objects: list[Placed] = field(default_factory=list)
    _taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def place(self, placed: Placed) -> bool:
        """Add an object if its ground is free, and say whether it was added."""
        long, wide = FOOTPRINTS[placed.kind]
        sin, cos = abs(math.sin(placed.yaw)), abs(math.cos(placed.yaw))
        half_x, half_z = long * sin + wide * cos + 0.15, long * cos + wide * sin + 0.25
        if placed.z - half_z < 3.0 and abs(placed.x) < half_x + 2.0:
            return False  # inside the camera's own car
        for x, z, other_x, other_z in self._taken:
            if abs(placed.x - x) < half_x + other_x and abs(placed.z - z) < half_z + other_z:
                return False
        self._taken.append((placed.x, placed.z, half_x, half_z))
        self.objects.append(placed)
        return True


def sample_objects(
    rng: np.random.Generator, street: Street, *, feature: str | None
) -> list[Placed]:
    """Draw what stands on a street, farthest first, with ``feature`` placed near and in view."""
    lot = Lot()
    if feature in FOOTPRINTS:
        _place_feature(lot, rng, street, feature)
    _place_posts(lot, rng, street)
    _place_traffic(lot, rng, street)
    _place_parked(lot, rng, street)
    _place_people(lot, rng, street)
    _place_two_wheelers(lot, rng, street)
    _place_trees(lot, rng, street)
    return sorted(lot.objects, key=lambda placed: -placed.z)


def sample_trees_behind(rng: np.random.Generator, street: Street) -> list[Placed]:
    """Draw the trees that stand behind the fronts, seen above walls and through gaps."""
    trees = []
    for side in (-1, 1):
        for _ in range(int(rng.integers(1, 5))):
            x = street.front(side) + side * float(rng.uniform(2, 14))
            trees.append(Placed("tree", x, float(rng.uniform(8, 70)), size=rng.uniform(0.8, 1.4)))
    return trees


def _place_feature(lot: Lot, rng: np.random.Generator, street: Street, feature: str) -> None:
    for _ in range(20):
        z = float(rng.uniform(9, 20))
        if feature == "train":
            x, yaw = -LANE * street.oncoming, TOWARDS if rng.random() < 0.6 else AWAY
            z += FOOTPRINTS["train"][0] - 3.0
        elif feature in ("motorcycle", "cyclist"):
            side = int(rng.choice((-1, 1)))
            edge = street.left if side < 0 else street.right
            x = edge + side * (0.9 if feature == "motorcycle" else -0.9)
            yaw, z = float(rng.uniform(0.6, 2.5)), float(rng.uniform(6, 12))
        else:
            lane = int(rng.integers(-street.oncoming, street.ahead))
            x, yaw = lane * LANE, TOWARDS if lane < 0 else AWAY
            z += FOOTPRINTS[feature][0]
        if lot.place(Placed(feature, x, z, yaw)):
            return


def _place_traffic(lot: Lot, rng: np.random.Generator, street: Street) -> None:
    kinds = ("car", "truck", "bus", "motorcyclist", "cyclist")
    for lane in range(-street.oncoming, street.ahead):
        z = float(rng.uniform(9, 26)) if lane == 0 else float(rng.uniform(5, 24))
        while z < 52:
            kind = kinds[rng.choice(5, p=(0.70, 0.08, 0.07, 0.08, 0.07))]
            x = lane * LANE + float(rng.normal(0, 0.2))
            yaw = (TOWARDS if lane < 0 else AWAY) + float(rng.normal(0, 0.05))
            lot.place(Placed(kind, x, z, yaw, size=float(rng.uniform(0.92, 1.08))))
            z += float(rng.uniform(7, 26))
    if street.junction and rng.random() < 0.6:
        near, far = street.junction
        for _ in range(int(rng.integers(1, 3))):
            kind = kinds[rng.choice(5, p=(0.55, 0.12, 0.13, 0.1, 0.1))]
            yaw = RIGHTWARDS * float(rng.choice((-1, 1)))
            z = near + (far - near) * (0.3 if yaw < 0 else 0.7)
            lot.place(Placed(kind, float(rng.uniform(-9, 9)), z, yaw))


def _place_parked(lot: Lot, rng: np.random.Generator, street: Street) -> None:
    for side, bay in zip((-1, 1), street.bays, strict=True):
        if not bay:
            continue
        edge = street.left if side < 0 else street.right
        z = float(rng.uniform(4, 10))
        while z < 60:
            if rng.random() < 0.65:
                kind = "car" if rng.random() < 0.85 else "motorcycle"
                yaw = (TOWARDS if side < 0 else AWAY) + float(rng.normal(0, 0.04))
                x = edge - side * BAY / 2
                lot.place(Placed(kind, x, z, yaw, size=float(rng.uniform(0.92, 1.05))))
            z += float(rng.uniform(5, 7))


def _place_people(lot: Lot, rng: np.random.Generator, street: Street) -> None:
    for _ in range(int(rng.integers(3, 10))):
        side = int(rng.choice((-1, 1)))
        inner, outer = street.walk(side)
        x = inner + (outer - inner) * float(rng.uniform(0.12, 0.88))
        z = 5.0 + 30.0 * float(rng.random()) ** 1.5
        yaw = float(rng.choice((AWAY, TOWARDS))) + float(rng.normal(0, 0.6))
        if lot.place(Placed("person", x, z, yaw, size=_stature(rng))) and rng.random() < 0.3:
            lot.place(Placed("person", x + 0.75, z + 0.2, yaw, size=_stature(rng)))
    for _ in range(int(rng.integers(0, 3))):
        z = street.zebra + float(rng.uniform(-1, 1)) if street.zebra else rng.uniform(9, 25)
        x = float(rng.uniform(street.left, street.right))
        yaw = RIGHTWARDS * float(rng.choice((-1, 1)))
        lot.place(Placed("person", x, float(z), yaw, size=_stature(rng)))


def _place_two_wheelers(lot: Lot, rng: np.random.Generator, street: Street) -> None:
    for _ in range(int(rng.integers(1, 5))):
        side = int(rng.choice((-1, 1)))
        edge = street.left if side < 0 else street.right
        kind = "cyclist" if rng.random() < 0.65 else "motorcyclist"
        yaw = (TOWARDS if side < 0 else AWAY) + float(rng.normal(0, 0.55))
        z = float(rng.uniform(5, 17))
        lot.place(Placed(kind, edge - side * float(rng.uniform(0.4, 1.6)), z, yaw))
    for _ in range(int(rng.integers(1, 4))):
        side = int(rng.choice((-1, 1)))
        x = street.front(side) - side * float(rng.uniform(0.4, 0.8))
        z, yaw = float(rng.uniform(5, 12)), float(rng.normal(0, 0.6))
        for slot in range(int(rng.integers(1, 4))):
            lot.place(Placed("bicycle", x, z + 2.2 * slot, yaw))


def _place_posts(lot: Lot, rng: np.random.Generator, street: Street) -> None:
    for side in (-1, 1):
        kerb = street.walk(side)[0] + side * 0.5
        z = float(rng.uniform(6, 14))
        while z < 60:
            lot.place(Placed("lamp_post", kerb, z))
            z += float(rng.uniform(12, 20))
        for _ in range(int(rng.integers(1, 4))):
            kind = "traffic_sign" if rng.random() < 0.8 else "post"
            lot.place(Placed(kind, kerb + side * 0.1, float(rng.uniform(6, 28))))
        if street.junction:
            lot.place(Placed("traffic_light", kerb, street.junction[0] - 2.5))
            lot.place(Placed("traffic_light", kerb, street.junction[1] + 1.0))
        if rng.random() < 0.45:
            lot.place(Placed("traffic_light", kerb, float(rng.uniform(7, 16))))


def _place_trees(lot: Lot, rng: np.random.Generator, street: Street) -> None:
    for side, verge in zip((-1, 1), street.verges, strict=True):
        if rng.random() < 0.45:
            continue
        kerb = street.left if side < 0 else street.right
        z, spacing = float(rng.uniform(8, 16)), float(rng.uniform(8, 15))
        while z < 65:
            kind = "tree" if rng.random() < 0.85 else "bush"
            x = kerb + side * (0.55 + verge / 2)
            lot.place(Placed(kind, x, z, size=float(rng.uniform(0.75, 1.1))))
            z += spacing * float(rng.uniform(0.8, 1.3))


def _stature(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.62, 0.75) if rng.random() < 0.12 else rng.uniform(0.93, 1.1))
