"""Names and severities of corruptions: the nineteen, the packaged ones, a user's own, compounds.

Protocols, which choose among them, are in `protocols`; how users add their own, in `registration`.

References:
    Hendrycks & Dietterich 2019, arXiv:1903.12261 (the nineteen).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.packaged import PACKAGED
from stl_backbones.errors import InputError, MissingFileError, unknown_name
from stl_backbones.records import Cell

Corrupt = Callable[[npt.NDArray[np.uint8], int, np.random.Generator], npt.NDArray[np.uint8]]

SEVERITIES = (1, 2, 3, 4, 5)

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
        "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
        "weather": ("snow", "frost", "fog", "brightness", "spatter"),
        "digital": (
            "contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate",
        ),
    }
)  # fmt: skip
CORRUPTIONS = tuple(name for names in GROUPS.values() for name in names)


@dataclass(frozen=True)
class CustomCorruption:
    """A corruption that a user registered.

    Attributes:
        name: The name used on the command line, in cells and as a folder.
        group: Its group.
        version: Stands beside every number; another version is another corruption.
        function: ``(image, severity, rng) -> image``, images ``(H, W, 3)`` uint8 RGB.
    """

    name: str
    group: str
    version: str
    function: Corrupt


FROM_DISK = "from disk"  # the group of corruptions that only a copy on disk has
CUSTOM_CORRUPTIONS: dict[str, CustomCorruption] = {}  # filled by `register_corruption`


OR_OWN = ", or one of your own: import its module with --custom-imports"


def custom_corruption(name: str) -> CustomCorruption | None:
    """Look a registered corruption up; ``None`` for the built-in ones, and for unknown names."""
    return CUSTOM_CORRUPTIONS.get(name)


def custom_versions(names: Sequence[str], depth: str = "") -> dict[str, str]:
    """Name -> version of those that are not of the nineteen.

    Args:
        names: Corruptions.
        depth: Folder of distances, part of the version of those that need them.
    """
    return {name: _version(name, depth) for name in names if name not in CORRUPTIONS}


def check_depth(names: Sequence[str], depth: str, keys: Sequence[str] = ()) -> None:
    """Refuse corruptions that need distances where there are none.

    Args:
        names: Corruptions.
        depth: Folder of distances; empty for none.
        keys: Images that need a map in it.

    Raises:
        ValueError: If no folder is given.
        FileNotFoundError: If the folder, or an image's map in it, does not exist.
    """
    parts = [part for name in names for part, _ in split_compound(name)]
    needing = [part for part in parts if part in PACKAGED and PACKAGED[part].needs_depth]
    if needing and not depth:
        raise InputError(
            f"corruption '{needing[0]}' needs distances: name their folder by --depth DIR, or "
            "choose others by --corruptions"
        )
    if depth and not Path(depth).is_dir():
        raise MissingFileError(f"--depth: folder '{depth}' does not exist")
    if needing and keys:
        from stl_backbones.corruptions.driving.depth import find_map  # compiles kernels

        for key in keys:
            find_map(depth, key)


def _version(name: str, depth: str) -> str:
    parts = split_compound(name)
    if len(parts) > 1:
        own = custom_versions([part for part, _ in parts], depth)
        return ", ".join(["compound 1", *(f"{part} {version}" for part, version in own.items())])
    if depth and name in PACKAGED and PACKAGED[name].needs_depth:
        from stl_backbones.corruptions.driving.depth import identity  # compiles kernels

        return f"{PACKAGED[name].version}, {identity(depth)}"
    found = PACKAGED.get(name) or CUSTOM_CORRUPTIONS[name]
    return found.version


def group_of(name: str) -> str:
    """The group of a corruption; ``'compound'`` of compounds, ``'from disk'`` of unknown ones."""
    if "+" in name:
        return "compound"
    for group, names in GROUPS.items():
        if name in names:
            return group
    found = PACKAGED.get(name) or CUSTOM_CORRUPTIONS.get(name)
    return FROM_DISK if found is None else found.group


def split_compound(name: str) -> tuple[tuple[str, float | None], ...]:
    """The parts of a compound, each with a severity of its own where it has one.

    ``'fog+gaussian_noise'`` has both at the cell's severity, ``'fog@2+gaussian_noise'`` fog at 2.
    The parts are applied from left to right. A name without ``+`` is its only part.

    Raises:
        ValueError: If a severity is not in 1..5.
    """
    if "+" not in name:
        return ((name, None),)
    parts = [part.partition("@") for part in name.split("+")]
    return tuple((part, check_severity(_number(own)) if at else None) for part, at, own in parts)


def severity_of(name: str, level: float) -> float:
    """The severity that has a level in its unit.

    Raises:
        KeyError: If the corruption is unknown.
        ValueError: If its severities have no unit, or the level is outside their range.
    """
    unit = unit_of(name)
    if not isinstance(level, Real) or float(f"{level:.4g}") != level:
        raise InputError(
            f"levels of {name} are numbers of at most four digits, in {unit}; got {level}"
        )
    return check_severity(PACKAGED[name].severity(level))


def unit_of(name: str) -> str:
    """The unit of a corruption's levels.

    Raises:
        KeyError: If the corruption is unknown.
        ValueError: If its severities have no unit.
    """
    check_corruption(name)
    if name not in PACKAGED or not PACKAGED[name].unit:
        with_unit = ", ".join(one.name for one in PACKAGED.values() if one.unit)
        raise InputError(
            f"'{name}' has no levels in a unit; expected severities, 1 to 5, or one of {with_unit}"
        )
    return PACKAGED[name].unit


def cell_at(place: str) -> Cell | None:
    """The cell of ``'fog/5'``, ``'fog/2.5'`` or ``'fog_depth/50m'``; ``None`` of other texts."""
    name, _, text = place.partition("/")
    unit = PACKAGED[name].unit if name in PACKAGED else ""
    try:
        if unit and text.endswith(unit):
            return Cell(name, severity_of(name, float(text.removesuffix(unit))))
        return Cell(name, check_severity(float(text))) if name else None
    except ValueError:
        return None


def parse_levels(words: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Read levels in their units: ``['fog_depth=50m,100m', 'rain=25mm/h']``.

    Raises:
        KeyError: If a corruption is unknown.
        ValueError: If a word is not ``NAME=LEVEL,LEVEL``, or a level is not a number with the unit.
    """
    found: dict[str, tuple[float, ...]] = {}
    for word in words:
        name, _, listed = word.partition("=")
        if not listed:
            raise InputError(
                f"levels are NAME=LEVEL,LEVEL, for example fog_depth=50m; got '{word}'"
            )
        unit, texts = unit_of(name), listed.split(",")
        if not all(re.fullmatch(rf"[0-9.]+{re.escape(unit)}", text) for text in texts):
            raise InputError(f"levels of {name} are in {unit}, for example 5{unit}; got '{listed}'")
        levels = [_level(name, text.removesuffix(unit)) for text in texts]
        found[name] = (*found.get(name, ()), *levels)
    return found


def level_text(name: str, severity: float) -> str:
    """The level of a severity in its unit, ``'150 m'``; empty for corruptions without one."""
    if name not in PACKAGED or not PACKAGED[name].unit:
        return ""
    return f"{PACKAGED[name].level(severity):.4g} {PACKAGED[name].unit}"


def check_corruption(name: str) -> None:
    """Refuse a name that is not in the catalog.

    Raises:
        KeyError: If it is not; the nearest name is offered.
        ValueError: If it is a compound of fewer than two corruptions, or of one twice.
    """
    parts = split_compound(name)
    if "+" in name:
        _check_compound(name, parts)
    known = (*CORRUPTIONS, *PACKAGED, *CUSTOM_CORRUPTIONS)
    for part, _ in parts:
        if part not in known:
            raise unknown_name("corruption", part, known, more=OR_OWN)


def _check_compound(name: str, parts: Sequence[tuple[str, float | None]]) -> None:
    """Refuse compounds that are none, and other spellings of one."""
    names = {part for part, _ in parts}
    if len(names) < len(parts) or "" in names:
        raise InputError(
            f"'{name}' is no compound: expected different corruptions joined by '+', "
            "fog+gaussian_noise, or with severities of their own, fog@2+gaussian_noise"
        )
    if all(own is not None for _, own in parts):
        raise InputError(
            f"'{name}' has the same severities in every cell; leave one part without its own, "
            f"{name.rpartition('@')[0]}"
        )
    written = "+".join(part if own is None else f"{part}@{own:g}" for part, own in parts)
    if name != written:
        raise InputError(f"write the compound '{name}' as {written}")


def check_severity(severity: float) -> float:
    """Refuse a severity that is not in 1..5; whole ones become Python's integers.

    Returns:
        The severity; a fraction rounded to six significant digits.

    Raises:
        ValueError: If it is not.
    """
    is_number = isinstance(severity, Real) and not isinstance(severity, bool)
    if not is_number or not SEVERITIES[0] <= severity <= SEVERITIES[-1]:
        raise InputError(f"severity must be a number in 1..5, got {severity}")
    rounded = float(f"{float(severity):.6g}")
    return int(rounded) if rounded.is_integer() else rounded


def _level(name: str, text: str) -> float:
    if not re.fullmatch(r"\d+\.?\d*|\.\d+", text):
        raise InputError(f"a level of {name} must be a number, got '{text}'")
    return float(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"severity must be a number in 1..5, got '{text}'") from None
