"""How values are written: rounded percent, and marks that are never zero."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from stl_backbones.corruptions.catalog import level_text

MISSING = "-"  # part of the protocol, but not measured (or, in a paper row, not printed)
NOT_IN_PROTOCOL = "·"  # the protocol does not ask for it
NOT_COUNTED = "n/a"  # measured, but nothing was counted

MISSING_SHOWN = 5  # cells named where a sentence says what is missing for a number

# The paper's abbreviations (Tables 12 and 13), and the like for the three it does not use.
SHORT_NAMES: Mapping[str, str] = {
    "motion_blur": "Motion", "defocus_blur": "Defoc", "glass_blur": "Glass",
    "gaussian_blur": "Gauss", "zoom_blur": "Zoom", "gaussian_noise": "Gauss",
    "impulse_noise": "Impul", "shot_noise": "Shot", "speckle_noise": "Speck",
    "brightness": "Bright", "contrast": "Contr", "saturate": "Satur", "jpeg_compression": "JPEG",
    "pixelate": "Pixel", "elastic_transform": "Elast", "snow": "Snow", "spatter": "Spatt",
    "fog": "Fog", "frost": "Frost",
}  # fmt: skip

MARKS_NOTE = (
    f"Marks: '{MISSING}' not measured (in a paper row: not printed, or not legible in our copy); "
    f"'{NOT_IN_PROTOCOL}' not part of the protocol; '{NOT_COUNTED}' nothing counted. "
    "A mean over an incomplete set is a dash."
)


def percent(fraction: float | None, precision: int) -> str:
    """Write a fraction as percent without the sign; ``None`` is missing, NaN is not counted."""
    if fraction is None:
        return MISSING
    if math.isnan(fraction):
        return NOT_COUNTED
    return rounded(100 * fraction, precision)


def rounded(value: float, decimals: int) -> str:
    """Write a number; what rounds to zero has no sign."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def quantity(value: float | None, unit: str, precision: int) -> str:
    """Write a value of a unit: fractions as percent, others (nats, ...) with two decimals more."""
    if unit == "fraction" or value is None:
        return percent(value, precision)
    return NOT_COUNTED if math.isnan(value) else rounded(value, precision + 2)


def with_interval(
    value: float | None, interval: tuple[float, float] | None, unit: str, precision: int
) -> str:
    """For example ``'57.4 (56.9 to 57.9)'``."""
    text = quantity(value, unit, precision)
    if value is None or math.isnan(value) or interval is None:
        return text
    low, high = (quantity(end, unit, precision) for end in interval)
    return f"{text} ({low})" if low == high == NOT_COUNTED else f"{text} ({low} to {high})"


def with_ties(names: Sequence[str], *, of: int) -> str:
    """Names that share a place, out of so many: ``'fog, snow'``, or ``'fog and 3 more'``."""
    if len(names) == of > 2:
        return f"all {of} alike"
    return ", ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more"


def cell_name(name: str) -> str:
    """A cell's or a corruption's name in words: ``'Motion blur 5'`` of ``'motion_blur-5'``."""
    corruption, dash, severity = name.rpartition("-")
    if not dash or not severity[:1].isdecimal():
        return full_name(name)
    level = level_text(corruption, float(severity))
    return f"{full_name(corruption)} {level or severity}"


def cell_words(name: str) -> str:
    """A cell's name as a heading: ``'Fog, severity 3'``, ``'Fog depth, 50 m'``, ``'Clean'``."""
    corruption, dash, severity = name.rpartition("-")
    if not dash:
        return full_name(name)
    level = level_text(corruption, float(severity)) or f"severity {severity}"
    return f"{full_name(corruption)}, {level}"


def full_name(name: str) -> str:
    """A corruption's or group's name in words, for example ``'Motion blur'``."""
    words = name.replace("_", " ").replace("+", " + ").replace("@", " ")
    return words.capitalize().replace("Jpeg", "JPEG").replace("jpeg", "JPEG")
