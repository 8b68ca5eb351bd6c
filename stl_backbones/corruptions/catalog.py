"""Names, groups and protocols: which corruptions, which severities, which mean.

The built-in ones are constants. Users add their own, see `registration`; every lookup here knows
both.

References:
    Hendrycks & Dietterich 2019, arXiv:1903.12261 (the corruptions, ImageNet-C, mCE).
    Kamann & Rother 2020, arXiv:1908.05005 (Cityscapes-C).
    Michaelis et al. 2019, arXiv:1907.07484 (COCO-C, mPC).
    Zhao et al. 2023 (STL), Tables 12 and 13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError, UnknownNameError, unknown_name
from stl_backbones.records import CLEAN, Cell

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

# Hendrycks & Dietterich 2019: the fifteen that count for mCE and mPC; the other four are "extra".
IMAGENET_C_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
        "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
        "weather": ("snow", "frost", "fog", "brightness"),
        "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    }
)

# Columns of Table 12 and 13, in the paper's order; brightness is digital in Table 13.
STL_IMAGENET_C_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "blur": ("motion_blur", "defocus_blur", "glass_blur", "gaussian_blur"),
        "noise": ("gaussian_noise", "impulse_noise", "shot_noise", "speckle_noise"),
        "digital": ("contrast", "saturate", "jpeg_compression", "pixelate"),
        "weather": ("brightness", "snow", "fog", "frost"),
    }
)
# Table 12's printed averages fit a mean of 17 that has spatter too; its columns are 16.
STL_IMAGENET_C_17_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {**STL_IMAGENET_C_COLUMNS, "weather": (*STL_IMAGENET_C_COLUMNS["weather"], "spatter")}
)
STL_CITYSCAPES_C_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "blur": ("motion_blur", "defocus_blur", "glass_blur", "gaussian_blur"),
        "noise": ("gaussian_noise", "impulse_noise", "shot_noise", "speckle_noise"),
        "digital": ("brightness", "contrast", "saturate", "jpeg_compression"),
        "weather": ("snow", "spatter", "fog", "frost"),
    }
)


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


CUSTOM_CORRUPTIONS: dict[str, CustomCorruption] = {}  # filled by `register_corruption`


@dataclass(frozen=True)
class Protocol:
    """Which cells make a benchmark's number.

    Attributes:
        name: The name used on the command line and in every table.
        columns: Group -> corruptions, in the order of the table's columns.
        source: Who defined it.
        severities: Corruption -> its severities; those left out get all five.
        published: Whether numbers by it are published, so that one's own will stand beside them.
        part_of: Name of the protocol that this is a choice of cells of; empty for whole ones.
    """

    name: str
    columns: Mapping[str, Sequence[str]]
    source: str
    severities: Mapping[str, Sequence[int]] = field(default_factory=dict)
    published: bool = False
    part_of: str = ""

    def __post_init__(self) -> None:
        for entry, values in (*self.columns.items(), *self.severities.items()):
            if isinstance(values, str) or not isinstance(values, Sequence):
                raise InputError(
                    f"protocol '{self.name}': '{entry}' needs a list, got {values!r}"
                )  # ('rain') is no tuple, and would be read letter by letter
        columns = {group: tuple(names) for group, names in self.columns.items()}
        levels: dict[str, tuple[int, ...]] = {
            name: SEVERITIES for names in columns.values() for name in names
        }
        levels |= {name: tuple(chosen) for name, chosen in self.severities.items()}
        object.__setattr__(self, "columns", MappingProxyType(columns))
        object.__setattr__(self, "severities", MappingProxyType(levels))

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The corruptions in column order."""
        return tuple(name for names in self.columns.values() for name in names)

    @property
    def default_mode(self) -> str:
        """The engine to use when none is named: beside published numbers, the exact one."""
        return "exact" if self.published else "fast"

    def part(self, cells: Sequence[Cell]) -> Protocol:
        """The choice of some of its cells, under a name that says so; itself if all are chosen."""
        chosen = [cell for cell in self.cells() if cell in cells and not cell.is_clean]
        levels = {
            name: tuple(cell.severity for cell in chosen if cell.corruption == name)
            for name in self.corruptions
        }
        kept = {name: own for name, own in levels.items() if own}
        if kept == dict(self.severities):
            return self
        columns = {group: tuple(name for name in names if name in kept)
                   for group, names in self.columns.items()}  # fmt: skip
        chosen_cells = "clean images alone"
        if kept:
            chosen_cells = f"{len(kept)} of {len(self.corruptions)} corruptions, "
            chosen_cells += f"{len(chosen)} of {len(self.cells()) - 1} cells"
        return Protocol(
            f"{self.name} (chosen: {chosen_cells})",
            {group: names for group, names in columns.items() if names},
            self.source,
            severities=kept,
            published=self.published,
            part_of=self.name,
        )

    def choose(self, names: Sequence[str]) -> tuple[str, ...]:
        """Corruptions of the protocol by their names or their group's, each once, in its order.

        ``group:fog`` and ``corruption:fog`` say which, where a group has a corruption's name.

        Raises:
            KeyError: If a name is unknown, or not part of this protocol.
            ValueError: If a name is a corruption's and a group's of others.
        """
        chosen = {one for name in names for one in self._named(name)}
        return tuple(name for name in self.corruptions if name in chosen)

    def _named(self, text: str) -> Sequence[str]:
        kind, colon, name = text.rpartition(":")
        group = self.columns.get(name) if kind in ("", "group") else None
        own = (name,) if name in self.severities and kind in ("", "corruption") else None
        if group is not None and own is not None and set(group) != set(own):
            raise InputError(
                f"'{name}' is a corruption and a group of protocol '{self.name}'; write "
                f"'corruption:{name}' or 'group:{name}'"
            )
        if group is None and own is None:
            if not colon and name not in GROUPS:
                check_corruption(name)
            raise UnknownNameError(
                f"corruption '{text}' is not part of protocol '{self.name}'; expected one of "
                f"{', '.join(self.corruptions)}, or a group: {', '.join(self.columns)}"
            )
        return group or own or ()

    def cells(
        self,
        *,
        corruptions: Sequence[str] | None = None,
        severities: Sequence[int] | None = None,
    ) -> tuple[Cell, ...]:
        """The cells to measure, clean first.

        Args:
            corruptions: Only these, by their names or their group's; ``None`` means all of the
                protocol's.
            severities: Only these; a severity that one corruption lacks is left out for it.

        Raises:
            KeyError: If a corruption is unknown, or not part of this protocol.
            ValueError: If a severity is not 1..5, none of the protocol's cells remains, or a name
                has two meanings.
        """
        chosen = self.corruptions if corruptions is None else self.choose(corruptions)
        levels = SEVERITIES if severities is None else tuple(severities)
        for level in levels:
            check_severity(level)
        cells = tuple(
            Cell(name, level)
            for name in self.corruptions
            if name in chosen
            for level in self.severities[name]
            if level in levels
        )
        if not cells and self.corruptions:
            raise InputError(
                f"no cell of protocol '{self.name}' has a severity in {sorted(set(levels))} "
                f"and a corruption in {list(chosen)}"
            )
        return (CLEAN, *cells)


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol(
                "imagenet-c", IMAGENET_C_COLUMNS, "Hendrycks & Dietterich 2019", published=True
            ),
            Protocol(
                "stl-imagenet-c", STL_IMAGENET_C_COLUMNS, "STL paper, Table 12", published=True
            ),
            Protocol(
                "stl-imagenet-c-17",
                STL_IMAGENET_C_17_COLUMNS,
                "STL paper, Table 12, with spatter",
                published=True,
            ),
            Protocol(
                "stl-cityscapes-c",
                STL_CITYSCAPES_C_COLUMNS,
                "STL paper, Table 13",
                severities=dict.fromkeys(STL_CITYSCAPES_C_COLUMNS["noise"], (1, 2, 3)),
                published=True,
            ),
            Protocol("all", GROUPS, "imagecorruptions' 19"),
            Protocol("coco-c", IMAGENET_C_COLUMNS, "Michaelis et al. 2019", published=True),
        )
    }
)
# What reports call numbers that are no corruption's or group's; protocols' means have their names.
RESERVED_NAMES = frozenset(
    {
        "clean",
        "average",
        "retention",
        "mce",
        "relative_mce",
        "mpc",
        "rpc",
        "none",
        "chosen",
        "chosen-retention",
        *PROTOCOLS,
    }
)
CUSTOM_PROTOCOLS: dict[str, Protocol] = {}  # filled by `register_protocol`


def protocol_names() -> tuple[str, ...]:
    """The names of all protocols, the built-in ones first."""
    return (*PROTOCOLS, *CUSTOM_PROTOCOLS)


_OR_OWN = ", or one of your own: import its module with --custom-imports"


def get_protocol(name: str) -> Protocol:
    """Look a protocol up.

    Raises:
        KeyError: If there is none of that name.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if name not in CUSTOM_PROTOCOLS:
        raise unknown_name("protocol", name, protocol_names(), more=_OR_OWN)
    return CUSTOM_PROTOCOLS[name]


def custom_corruption(name: str) -> CustomCorruption | None:
    """Look a registered corruption up; ``None`` for the built-in ones, and for unknown names."""
    return CUSTOM_CORRUPTIONS.get(name)


def custom_versions(names: Sequence[str]) -> dict[str, str]:
    """Name -> version of those that are registered corruptions."""
    return {name: CUSTOM_CORRUPTIONS[name].version for name in names if name in CUSTOM_CORRUPTIONS}


def check_corruption(name: str) -> None:
    """Refuse a name that is not in the catalog.

    Raises:
        KeyError: If it is not; the nearest name is offered.
    """
    known = (*CORRUPTIONS, *CUSTOM_CORRUPTIONS)
    if name not in known:
        raise unknown_name("corruption", name, known, more=_OR_OWN)


def check_severity(severity: int) -> int:
    """Refuse a severity that is not 1..5; numpy's integers become Python's.

    Raises:
        ValueError: If it is not.
    """
    is_number = isinstance(severity, Integral) and not isinstance(severity, bool)
    if not is_number or severity not in SEVERITIES:
        raise InputError(f"severity must be a whole number in 1..5, got {severity}")
    return int(severity)
