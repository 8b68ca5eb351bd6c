"""What a corruption draws: one seed, and what all severities of an image may share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.native.arrays import Bits, Doubles, Image
from stl_backbones.corruptions.native.streams import legacy_normals

_LAST = 2**64 - 1


@dataclass(frozen=True)
class Draws:
    """The random numbers of one corrupted image.

    Attributes:
        seed: 0 to 2**32 - 1.
        compat: The package that exact results equal.
        kept: ``None``, or a dictionary that lives as long as the image's other severities.
    """

    seed: int
    compat: str
    kept: dict[str, Any] | None = None

    def keep(
        self, what: str, make: Callable[[], tuple[npt.NDArray[Any], ...]]
    ) -> tuple[npt.NDArray[Any], ...]:
        """``make()``, or what another severity of the same image made of the same draws."""
        if self.kept is None:
            return make()
        if what not in self.kept:
            self.kept[what] = tuple(np.array(array) for array in make())
        kept: tuple[npt.NDArray[Any], ...] = self.kept[what]
        return kept

    def normals(self, size: int) -> Doubles:
        """The first ``size`` standard normals of ``numpy.random.seed(seed)``'s stream."""
        return self.keep(f"normals {size}", lambda: (legacy_normals(self.seed, size),))[0]

    def uniforms(self, size: int, low: float, high: float) -> Doubles:
        """What ``RandomState(seed).uniform(low, high, size)`` returns, for a small size."""
        return np.random.RandomState(self.seed).uniform(low, high, size)

    def generator(self) -> np.random.Generator:
        """The fast mode's own stream, from its beginning."""
        return np.random.Generator(np.random.SFC64(self.seed))

    def bits(self, size: int) -> Bits:
        """The first ``size`` 16 bit numbers of the fast mode's stream."""

        def make() -> tuple[Bits]:
            count = -(-size // 4)
            words = self.generator().integers(0, _LAST, count, dtype=np.uint64, endpoint=True)
            return (words.view(np.uint16)[:size],)

        return self.keep(f"bits {size}", make)[0]


def by_bits(
    change: Callable[..., None], image: Image, draws: Draws, *tables: npt.NDArray[Any] | int
) -> Image:
    """A new image of what a kernel makes of each value and 16 random bits.

    Args:
        change: The kernel: values, where its results go, bits, ``*tables``.
        image: ``(H, W, 3)`` uint8.
        draws: Whose first bits are taken.
        *tables: What else the kernel takes.
    """
    out = np.empty_like(image)
    change(image.reshape(-1), out.reshape(-1), draws.bits(image.size), *tables)
    return out
