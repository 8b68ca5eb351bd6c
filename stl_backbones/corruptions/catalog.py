"""Names, groups and protocols: which corruptions, which severities, which mean.

References:
    Hendrycks & Dietterich 2019, arXiv:1903.12261 (the corruptions, ImageNet-C, mCE).
    Kamann & Rother 2020, arXiv:1908.05005 (Cityscapes-C).
    Michaelis et al. 2019, arXiv:1907.07484 (COCO-C, mPC).
    Zhao et al. 2023 (STL), Tables 12 and 13.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from stl_backbones.records import CLEAN, Cell

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

# Hendrycks & Dietterich 2019: the four "extra" corruptions do not count for mCE and mPC.
IMAGENET_C = tuple(
    name
    for name in CORRUPTIONS
    if name not in {"speckle_noise", "gaussian_blur", "spatter", "saturate"}
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
STL_CITYSCAPES_C_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "blur": ("motion_blur", "defocus_blur", "glass_blur", "gaussian_blur"),
        "noise": ("gaussian_noise", "impulse_noise", "shot_noise", "speckle_noise"),
        "digital": ("brightness", "contrast", "saturate", "jpeg_compression"),
        "weather": ("snow", "spatter", "fog", "frost"),
    }
)


@dataclass(frozen=True)
class Protocol:
    """Which cells make a benchmark's number.

    Attributes:
        name: The name used on the command line and in every table.
        columns: Group -> corruptions, in the order of the table's columns.
        severities: Corruption -> its severities.
        source: Who defined it.
    """

    name: str
    columns: Mapping[str, tuple[str, ...]]
    severities: Mapping[str, tuple[int, ...]]
    source: str

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The corruptions in column order."""
        return tuple(name for names in self.columns.values() for name in names)

    def cells(
        self,
        *,
        corruptions: Sequence[str] | None = None,
        severities: Sequence[int] | None = None,
    ) -> tuple[Cell, ...]:
        """The cells to measure, clean first.

        Args:
            corruptions: Only these; ``None`` means all of the protocol's.
            severities: Only these; a severity that one corruption lacks is left out for it.

        Raises:
            KeyError: If a corruption is unknown, or not part of this protocol.
            ValueError: If a severity is not 1..5, or none of the protocol's cells remains.
        """
        chosen = self.corruptions if corruptions is None else tuple(corruptions)
        for name in chosen:
            check_corruption(name)
            if name not in self.severities:
                raise KeyError(
                    f"corruption '{name}' is not part of protocol '{self.name}'; "
                    f"expected one of {', '.join(self.corruptions)}"
                )
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
        if not cells:
            raise ValueError(
                f"no cell of protocol '{self.name}' has a severity in {sorted(set(levels))} "
                f"and a corruption in {list(chosen)}"
            )
        return (CLEAN, *cells)


def _protocol(
    name: str,
    columns: Mapping[str, tuple[str, ...]],
    source: str,
    *,
    mild: frozenset[str] = frozenset(),
) -> Protocol:
    severities = {
        corruption: (1, 2, 3) if corruption in mild else SEVERITIES
        for names in columns.values()
        for corruption in names
    }
    return Protocol(name, columns, MappingProxyType(severities), source)


_FIFTEEN = {
    group: tuple(name for name in names if name in IMAGENET_C) for group, names in GROUPS.items()
}

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            _protocol("imagenet-c", _FIFTEEN, "Hendrycks & Dietterich 2019"),
            _protocol("stl-imagenet-c", STL_IMAGENET_C_COLUMNS, "STL paper, Table 12"),
            _protocol(
                "stl-cityscapes-c",
                STL_CITYSCAPES_C_COLUMNS,
                "STL paper, Table 13",
                mild=frozenset(GROUPS["noise"]),
            ),
            _protocol("all", GROUPS, "imagecorruptions' 19"),
            _protocol("coco-c", _FIFTEEN, "Michaelis et al. 2019"),
        )
    }
)


def get_protocol(name: str) -> Protocol:
    """Look a protocol up.

    Raises:
        KeyError: If there is none of that name.
    """
    if name not in PROTOCOLS:
        raise KeyError(f"unknown protocol '{name}'; expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def check_corruption(name: str) -> None:
    """Refuse a name that is not in the catalog.

    Raises:
        KeyError: If it is not; the nearest name is offered.
    """
    if name not in CORRUPTIONS:
        near = difflib.get_close_matches(name, CORRUPTIONS, n=1, cutoff=0.5)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise KeyError(
            f"unknown corruption '{name}'{hint}; expected one of {', '.join(CORRUPTIONS)}"
        )


def check_severity(severity: int) -> None:
    """Refuse a severity that is not 1..5.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(severity, bool) or not isinstance(severity, int) or severity not in SEVERITIES:
        raise ValueError(f"severity must be in 1..5, got {severity}")
