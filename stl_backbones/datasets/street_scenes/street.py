"""The plan of a street: where the lanes, kerbs, pavements and house fronts run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stl_backbones.datasets.street_scenes.light import Color

LANE = 3.3  # metres
BAY = 2.2  # metres, width of a strip of parked cars
KERB = 0.25  # metres

PAVINGS: tuple[Color, ...] = (
    (158, 152, 144), (176, 162, 150), (140, 140, 146), (186, 178, 160), (164, 142, 132),
)  # fmt: skip
GRASSES: tuple[Color, ...] = ((120, 152, 62), (150, 156, 84), (106, 140, 56), (168, 160, 98))


@dataclass(frozen=True)
class Street:
    """Everything about a street that does not stand on it.

    The camera drives at x = 0 in the middle of its lane; oncoming traffic is on the left.

    Attributes:
        left: x of the left edge of the road.
        right: x of the right edge of the road.
        oncoming: Number of oncoming lanes.
        ahead: Number of lanes in the camera's direction.
        bays: Whether cars park on the left and on the right.
        verges: Width of the grass beside the road, left and right.
        walks: Width of the pavement, left and right.
        junction: Nearest and farthest z of a crossing street, if any.
        zebra: z of a pedestrian crossing, if any.
        rails: x of the middle of a tram track, if any.
        asphalt: Colour of the road.
        paving: Colour of the pavement.
        grass: Colour of the grass.
        slabs: Whether the pavement shows joints.
        origin: Where textures are sampled.
    """

    left: float
    right: float
    oncoming: int
    ahead: int
    bays: tuple[bool, bool]
    verges: tuple[float, float]
    walks: tuple[float, float]
    junction: tuple[float, float] | None
    zebra: float | None
    rails: float | None
    asphalt: Color
    paving: Color
    grass: Color
    slabs: bool
    origin: tuple[float, float]

    def walk(self, side: int) -> tuple[float, float]:
        """Return the inner and the outer x of the pavement; ``side`` is -1 or 1."""
        index = int(side > 0)
        inner = (self.left, self.right)[index] + side * self.verges[index]
        return inner, inner + side * self.walks[index]

    def front(self, side: int) -> float:
        """Return the x of the house fronts; ``side`` is -1 or 1."""
        return self.walk(side)[1]


def sample_street(rng: np.random.Generator, *, tram: bool) -> Street:
    """Draw the plan of a street, with a tram track if ``tram``."""
    oncoming = int(rng.integers(1, 3))
    ahead = int(rng.integers(1, 3))
    bays = (bool(rng.random() < 0.6), bool(rng.random() < 0.6))
    verges = tuple(float(rng.uniform(0.9, 2.6)) * (rng.random() < 0.4) for _ in range(2))
    near = float(rng.uniform(14.0, 34.0))
    junction = (near, near + float(rng.uniform(7.0, 11.0))) if rng.random() < 0.45 else None
    zebra = near - 4.0 if junction and rng.random() < 0.7 else None
    gray = float(rng.uniform(78, 118))
    tint = rng.uniform(-5, 5, 2)
    return Street(
        left=-(LANE / 2 + LANE * oncoming + BAY * bays[0]),
        right=LANE / 2 + LANE * (ahead - 1) + BAY * bays[1],
        oncoming=oncoming,
        ahead=ahead,
        bays=bays,
        verges=(verges[0], verges[1]),
        walks=(float(rng.uniform(2.2, 4.5)), float(rng.uniform(2.2, 4.5))),
        junction=junction,
        zebra=zebra,
        rails=-LANE * oncoming if tram or rng.random() < 0.1 else None,
        asphalt=(gray + tint[0], gray, gray + tint[1]),
        paving=vary(rng, PAVINGS[rng.integers(len(PAVINGS))], 0.12),
        grass=vary(rng, GRASSES[rng.integers(len(GRASSES))], 0.15),
        slabs=bool(rng.random() < 0.75),
        origin=(float(rng.uniform(0, 64)), float(rng.uniform(0, 64))),
    )


def vary(rng: np.random.Generator, color: Color, amount: float) -> Color:
    """Return ``color`` with its brightness, and a little of its hue, varied by ``amount``."""
    factors = rng.uniform(1 - amount, 1 + amount) * rng.uniform(1 - amount / 4, 1 + amount / 4, 3)
    red, green, blue = (float(c * f) for c, f in zip(color, factors, strict=True))
    return red, green, blue
