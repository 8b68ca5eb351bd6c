"""Protocols: which corruptions, which severities, which mean.

The built-in ones are constants. Users add their own, see `registration`; every lookup here knows
both.

References:
    Hendrycks & Dietterich 2019, arXiv:1903.12261 (the corruptions, ImageNet-C, mCE).
    Kamann & Rother 2020, arXiv:1908.05005 (Cityscapes-C).
    Michaelis et al. 2019, arXiv:1907.07484 (COCO-C, mPC).
    Mintun et al. 2021, arXiv:2102.11273 (ImageNet-C-bar, CIFAR-10-C-bar).
    Zhao et al. 2023 (STL), Tables 12 and 13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from stl_backbones.corruptions.catalog import (
    GROUPS,
    OR_OWN,
    SEVERITIES,
    check_corruption,
    check_severity,
    group_of,
    severity_of,
)
from stl_backbones.errors import InputError, UnknownNameError, unknown_name
from stl_backbones.records import CLEAN, STRENGTHS, Cell

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
# The nineteen of CIFAR-10-C's and CIFAR-100-C's files; the usual mean is over the fifteen above.
CIFAR10_C_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "noise": (*IMAGENET_C_COLUMNS["noise"], "speckle_noise"),
        "blur": (*IMAGENET_C_COLUMNS["blur"], "gaussian_blur"),
        "weather": (*IMAGENET_C_COLUMNS["weather"], "spatter"),
        "digital": (*IMAGENET_C_COLUMNS["digital"], "saturate"),
    }
)
# Mintun et al. 2021: the ten of each, ImageNet's in the order of the paper's table.
IMAGENET_C_BAR_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "obstruction": ("blue_noise_sample", "plasma_noise", "checkerboard_cutout"),
        "waves": ("cocentric_sine_waves", "single_frequency_greyscale"),
        "noise": ("brownish_noise", "perlin_noise"),
        "light": ("sparkles", "inverse_sparkles", "caustic_refraction"),
    }
)
CIFAR10_C_BAR_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "obstruction": ("blue_noise_sample", "checkerboard_cutout", "lines"),
        "noise": ("brownish_noise",),
        "light": ("sparkles", "inverse_sparkles"),
        "blur": ("circular_motion_blur", "transverse_chromatic_abberation"),
        "warp": ("pinch_and_twirl", "ripple"),
    }
)
DRIVING_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "weather": ("fog_depth", "rain"),
        "optics": ("lens_droplets", "sun_glare"),
        "sensor": ("low_light", "exposure_motion", "night"),
    }
)


@dataclass(frozen=True)
class Protocol:
    """Which cells make a benchmark's number.

    Attributes:
        name: The name used on the command line and in every table.
        columns: Group -> corruptions, in the order of the table's columns.
        source: Who defined it.
        severities: Corruption -> its severities; those left out get all five.
        published: Whether numbers by it are published, so that one's own will stand beside them.
        strengths: Whose constants its severities are, see `CorruptionEngine`.
        part_of: Name of the protocol that this is a choice of cells of; empty for whole ones.
    """

    name: str
    columns: Mapping[str, Sequence[str]]
    source: str
    severities: Mapping[str, Sequence[float]] = field(default_factory=dict)
    published: bool = False
    strengths: str = STRENGTHS[0]
    part_of: str = ""

    def __post_init__(self) -> None:
        for entry, values in (*self.columns.items(), *self.severities.items()):
            if isinstance(values, str) or not isinstance(values, Sequence):
                raise InputError(
                    f"protocol '{self.name}': '{entry}' needs a list, got {values!r}"
                )  # ('rain') is no tuple, and would be read letter by letter
        columns = {group: tuple(names) for group, names in self.columns.items()}
        levels: dict[str, tuple[float, ...]] = {
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
    def levels(self) -> tuple[float, ...]:
        """Severities that head a table: 1 to 5, or all that any of its corruptions has."""
        found = sorted({level for own in self.severities.values() for level in own})
        return SEVERITIES if set(found) <= set(SEVERITIES) else tuple(found)

    @property
    def default_mode(self) -> str:
        """The engine to use when none is named: beside published numbers, the exact one."""
        return "exact" if self.published else "fast"

    def part(self, cells: Sequence[Cell]) -> Protocol:
        """These cells alone, under a name that says so; itself if they are all of its own.

        Cells that are not its own, of a compound or at a fraction of a severity, are added.
        """
        chosen = {cell for cell in cells if not cell.is_clean}
        if chosen == {cell for cell in self.cells() if not cell.is_clean}:
            return self
        extra = sorted({cell.corruption for cell in chosen} - set(self.corruptions))
        levels = {
            name: tuple(sorted(cell.severity for cell in chosen if cell.corruption == name))
            for name in (*self.corruptions, *extra)
        }
        kept = {name: own for name, own in levels.items() if own}
        columns = {group: [name for name in names if name in kept]
                   for group, names in self.columns.items()}  # fmt: skip
        for name in extra:
            columns.setdefault(group_of(name), []).append(name)
        return Protocol(
            f"{self.name} (chosen: {self._counted(kept, extra)})",
            {group: names for group, names in columns.items() if names},
            self.source,
            severities=kept,
            published=self.published,
            strengths=self.strengths,
            part_of=self.name,
        )

    def _counted(self, kept: Mapping[str, Sequence[float]], extra: Sequence[str]) -> str:
        """What a choice of cells holds of the protocol's, and beside them."""
        own = {Cell(name, level) for name, levels in kept.items() for level in levels}
        inside = own.intersection(self.cells())
        names = {cell.corruption for cell in inside}
        parts = ["clean images alone"] if not own else []
        if inside:
            parts.append(f"{len(names)} of {len(self.corruptions)} corruptions")
            parts.append(f"{len(inside)} of {len(self.cells()) - 1} cells")
        if len(own) > len(inside):
            beside = f"{len(own) - len(inside)} cells that are not the protocol's"
            parts.append(f"{beside} ({', '.join(extra)})" if extra else beside)
        return ", ".join(parts)

    def choose(self, names: Sequence[str]) -> tuple[str, ...]:
        """Corruptions of the protocol by their names or their group's, each once, in its order.

        ``group:fog`` and ``corruption:fog`` say which, where a group has a corruption's name.
        Compounds, ``fog+gaussian_noise``, are in no protocol; they follow in the order given.

        Raises:
            KeyError: If a name is unknown, or not part of this protocol.
            ValueError: If a name is a corruption's and a group's of others.
        """
        chosen = list(dict.fromkeys(one for name in names for one in self._named(name)))
        own = [name for name in self.corruptions if name in chosen]
        return (*own, *(name for name in chosen if name not in self.severities))

    def _named(self, text: str) -> Sequence[str]:
        if "+" in text:
            check_corruption(text)
            return (text,)
        kind, colon, name = text.rpartition(":")
        group = self.columns.get(name) if kind in ("", "group") else None
        own = (name,) if name in self.severities and kind in ("", "corruption") else None
        if group is not None and own is not None and set(group) != set(own):
            raise InputError(
                f"'{name}' is a corruption and a group of protocol '{self.name}'; write "
                f"'corruption:{name}' or 'group:{name}'"
            )
        if group is None and own is None:
            shown = name if kind == "corruption" else text
            if not colon and name not in GROUPS:
                check_corruption(name)
            raise UnknownNameError(
                f"corruption '{shown}' is not part of protocol '{self.name}'; expected one of "
                f"{', '.join(self.corruptions)}, or a group: {', '.join(self.columns)}"
            )
        return group or own or ()

    def cells(
        self,
        *,
        corruptions: Sequence[str] | None = None,
        severities: Sequence[float] | None = None,
        levels: Mapping[str, Sequence[float]] = MappingProxyType({}),
    ) -> tuple[Cell, ...]:
        """The cells to measure, clean first.

        Args:
            corruptions: Only these, by their names or their group's; ``None`` means all of the
                protocol's. Compounds too.
            severities: Only these; one that a corruption lacks is left out for it. A fraction is
                measured where it lies between those that a corruption has.
            levels: Corruption -> its levels in their unit, in place of ``severities``. Where there
                are some and ``corruptions`` is ``None``, only theirs are measured.

        Raises:
            KeyError: If a corruption is unknown, or not part of this protocol.
            ValueError: If a severity is not in 1..5, a level is outside its range, none of the
                protocol's cells remains, or a name has two meanings.
        """
        chosen = self.corruptions
        if corruptions is not None or levels:
            chosen = self.choose([*(corruptions or ()), *(f"corruption:{one}" for one in levels)])
        if levels and severities is not None and set(chosen) <= set(levels):
            raise InputError(
                f"severities and levels were both given for {', '.join(levels)}: expected one of "
                "them, or other corruptions too"
            )
        wanted = None if severities is None else [check_severity(level) for level in severities]
        cells = tuple(
            Cell(name, severity)
            for name in chosen
            for severity in self._severities_of(name, wanted, levels.get(name))
        )
        if not cells and self.corruptions:
            raise InputError(
                f"no cell of protocol '{self.name}' has a severity in {sorted(set(wanted or ()))} "
                f"and a corruption in {list(chosen)}"
            )
        return (CLEAN, *cells)

    def _severities_of(
        self, name: str, wanted: Sequence[float] | None, levels: Sequence[float] | None
    ) -> Sequence[float]:
        if levels is not None:
            return sorted({severity_of(name, level) for level in levels})
        own = self.severities.get(name, SEVERITIES)
        if wanted is None:
            return own
        between = [one for one in wanted if one != int(one) and min(own) < one < max(own)]
        return sorted({*(one for one in own if one in wanted), *between})


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
            Protocol(
                "cifar10-c",
                CIFAR10_C_COLUMNS,
                "Hendrycks & Dietterich 2019, CIFAR-10-C",
                published=True,
                strengths="cifar10",
            ),
            Protocol(
                "imagenet-c-bar", IMAGENET_C_BAR_COLUMNS, "Mintun et al. 2021", published=True
            ),
            Protocol("c-bar", IMAGENET_C_BAR_COLUMNS, "Mintun et al. 2021, at any size: ours"),
            Protocol(
                "cifar10-c-bar",
                CIFAR10_C_BAR_COLUMNS,
                "Mintun et al. 2021",
                published=True,
                strengths="cifar10",
            ),
            Protocol("driving", DRIVING_COLUMNS, "ours, levels in physical units"),
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


def get_protocol(name: str) -> Protocol:
    """Look a protocol up.

    Raises:
        KeyError: If there is none of that name.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if name not in CUSTOM_PROTOCOLS:
        raise unknown_name("protocol", name, protocol_names(), more=OR_OWN)
    return CUSTOM_PROTOCOLS[name]
