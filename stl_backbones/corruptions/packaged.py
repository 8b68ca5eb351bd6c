"""The corruptions beside the nineteen: each with its levels, its version, and where it is defined.

One form of each serves all modes. Its version stands in every result's record, so that numbers of
two versions share no table.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.records import STRENGTHS


@dataclass(frozen=True)
class PackagedCorruption:
    """A corruption beside the nineteen that comes with the package.

    Attributes:
        name: The name used on the command line, in cells and as a folder.
        group: Its group, which heads its columns.
        version: Changes with the function's results.
        place: ``'module:function'``, imported when it is first used. The function is
            ``(image, level, rng) -> image``, images ``(H, W, 3)`` uint8 RGB; with ``needs_depth``
            it has a fourth argument, the distances ``(H, W)`` float32 in metres.
        levels: Strengths, see `CorruptionEngine` -> the levels at severity 1 to 5, in the formula's
            own parameter or in ``unit``.
        unit: The unit of the levels, ``'m'``; empty where the parameter has none.
        is_geometric: Whether levels between are interpolated geometrically, not linearly.
        needs_depth: Whether the function needs distances.
    """

    name: str
    group: str
    version: str
    place: str
    levels: Mapping[str, tuple[float, ...]]
    unit: str = ""
    is_geometric: bool = False
    needs_depth: bool = False

    def level(self, severity: float, strengths: str = STRENGTHS[0]) -> float:
        """The level at a severity of 1 to 5, interpolated between whole ones.

        A level in a unit is rounded to four significant digits, so that one that was asked for in
        its unit is met exactly.

        Raises:
            ValueError: If the corruption has no levels for these strengths.
        """
        table = self._table(strengths)
        if severity == int(severity):
            return float(table[int(severity) - 1])
        found = float(np.interp(severity, range(1, len(table) + 1), self._scaled(table)))
        level = float(np.exp(found)) if self.is_geometric else found
        return float(f"{level:.4g}") if self.unit else level

    def severity(self, level: float) -> float:
        """The severity of 1 to 5 that has a level, in the levels' unit.

        Raises:
            ValueError: If the level is outside the range of the five.
        """
        table = self._table(STRENGTHS[0])
        low, high = min(table), max(table)
        if not low <= level <= high:
            raise InputError(
                f"{self.name} has levels from {low:g}{self.unit} to {high:g}{self.unit}, "
                f"severities 1 to 5; got {level:.10g}{self.unit}"
            )
        points, wanted = self._scaled(table), self._scaled((level,))[0]
        order = np.argsort(points)
        found = float(np.interp(wanted, points[order], order + 1.0))
        return float(f"{found:.6g}")

    def function(self) -> Callable[..., npt.NDArray[Any]]:
        """The function at ``place``."""
        module, _, name = self.place.partition(":")
        found: Callable[..., npt.NDArray[Any]] = getattr(importlib.import_module(module), name)
        return found

    def _table(self, strengths: str) -> tuple[float, ...]:
        if strengths not in self.levels:
            raise InputError(
                f"corruption '{self.name}' has no levels for strengths '{strengths}'; it has those "
                f"for {', '.join(self.levels)}"
            )
        return self.levels[strengths]

    def _scaled(self, levels: tuple[float, ...]) -> npt.NDArray[np.float64]:
        values = np.asarray(levels, np.float64)
        return np.log(values) if self.is_geometric else values


_BAR = "stl_backbones.corruptions.bar."
# Mintun et al. 2021, arXiv:2102.11273: the levels of ImageNet-C-bar and CIFAR-10-C-bar, whose
# spelling the names keep: name, group, module, levels for ImageNet, levels for CIFAR-10.
_C_BAR: tuple[tuple[str, str, str, tuple[float, ...], tuple[float, ...]], ...] = (
    (
        "blue_noise_sample",
        "obstruction",
        "spectra",
        (0.8, 1.6, 2.4, 4, 5.6),
        (0.7, 1.4, 2.1, 3.5, 4.2),
    ),
    ("plasma_noise", "obstruction", "waves", (4.75, 7, 8.5, 9.25, 10), ()),
    ("checkerboard_cutout", "obstruction", "cutout", (2, 3, 4, 5, 6), (1, 2, 3, 4, 5)),
    ("lines", "obstruction", "cutout", (), (0.5, 1, 1.5, 2, 2.5)),
    ("cocentric_sine_waves", "waves", "waves", (3, 5, 8, 9, 10), ()),
    ("single_frequency_greyscale", "waves", "waves", (1, 1.5, 2, 4.5, 5), ()),
    ("brownish_noise", "noise", "spectra", (1, 2, 3, 4, 5), (2.5, 4, 5.5, 6.5, 7)),
    ("perlin_noise", "noise", "perlin", (4.6, 5.2, 5.8, 7.6, 8.8), ()),
    ("sparkles", "light", "sparkles", (1, 2, 3, 5, 6), (0.7, 3.5, 5.6, 6.3, 7)),
    ("inverse_sparkles", "light", "sparkles", (1, 2, 4, 9, 10), (1, 1.5, 2.5, 4.5, 5)),
    ("caustic_refraction", "light", "caustics", (2.35, 3.2, 4.9, 6.6, 9.15), ()),
    ("circular_motion_blur", "blur", "splines", (), (2.8, 3.6, 4.4, 5.2, 6)),
    ("transverse_chromatic_abberation", "blur", "splines", (), (1, 2, 5, 9, 10)),
    ("pinch_and_twirl", "warp", "warps", (), (5.5, 6, 6.5, 8.5, 10)),
    ("ripple", "warp", "warps", (), (5.5, 6, 6.5, 7.5, 8)),
)


def _of_c_bar(
    name: str, group: str, module: str, imagenet: tuple[float, ...], cifar10: tuple[float, ...]
) -> PackagedCorruption:
    levels = {"imagenet": imagenet, "cifar10": cifar10}
    known = MappingProxyType({strengths: own for strengths, own in levels.items() if own})
    return PackagedCorruption(name, group, "1", f"{_BAR}{module}:{name}", known)


_DRIVING = "stl_backbones.corruptions.driving"

PACKAGED: Mapping[str, PackagedCorruption] = MappingProxyType(
    {
        one.name: one
        for one in (
            *(_of_c_bar(*row) for row in _C_BAR),
            PackagedCorruption(
                "fog_depth", "weather", "1", f"{_DRIVING}.fog:fog_depth",
                {"imagenet": (600, 300, 150, 75, 40)}, "m", is_geometric=True, needs_depth=True,
            ),
            PackagedCorruption(
                "rain", "weather", "1", f"{_DRIVING}.rain:rain",
                {"imagenet": (5, 25, 50, 100, 200)}, "mm/h", is_geometric=True,
            ),
            PackagedCorruption(
                "lens_droplets", "optics", "1", f"{_DRIVING}.droplets:lens_droplets",
                {"imagenet": (1, 3, 6, 12, 20)}, "%", is_geometric=True,
            ),
            PackagedCorruption(
                "sun_glare", "optics", "1", f"{_DRIVING}.glare:sun_glare",
                {"imagenet": (0.02, 0.05, 0.1, 0.2, 0.4)}, is_geometric=True,
            ),
            PackagedCorruption(
                "low_light", "sensor", "1", f"{_DRIVING}.sensor:low_light",
                {"imagenet": (2, 4, 5, 6, 7)}, "stops",
            ),
            PackagedCorruption(
                "exposure_motion", "sensor", "1", f"{_DRIVING}.motion:exposure_motion",
                {"imagenet": (2, 5, 10, 20, 40)}, "ms", is_geometric=True,
            ),
            PackagedCorruption(
                "night", "sensor", "1", f"{_DRIVING}.sensor:night",
                {"imagenet": (2, 3, 4, 5, 6)}, "stops",
            ),
        )
    }
)  # fmt: skip
