"""A colour scale that reads the same for colour-blind eyes and in grey."""

from __future__ import annotations

Rgb = tuple[int, int, int]

# matplotlib's viridis at 0, 1/8, ... 1 (van der Walt & Smith 2015, CC0): lightness rises evenly.
_STOPS: tuple[Rgb, ...] = (
    (68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140),
    (40, 174, 128), (94, 201, 98), (173, 220, 48), (253, 231, 37),
)  # fmt: skip
DARK_TEXT, LIGHT_TEXT = "#000000", "#ffffff"  # one of them has contrast 4.5 on any colour
NUM_SHADES = 64


def scale_colour(share: float) -> Rgb:
    """Interpolate the scale.

    Args:
        share: 0 (lowest) to 1 (highest); values beyond are cut off.
    """
    position = min(max(share, 0.0), 1.0) * (len(_STOPS) - 1)
    index = min(int(position), len(_STOPS) - 2)
    low, high = _STOPS[index], _STOPS[index + 1]
    red, green, blue = (
        round(a + (b - a) * (position - index)) for a, b in zip(low, high, strict=True)
    )
    return red, green, blue


def to_hex(colour: Rgb) -> str:
    """For example ``'#440154'``."""
    return "#" + "".join(f"{channel:02x}" for channel in colour)


def text_colour(background: Rgb) -> str:
    """Dark or light, whichever has the higher contrast.

    References:
        W3C, WCAG 2.2, contrast ratio.
    """
    light = _luminance(background)
    return DARK_TEXT if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else LIGHT_TEXT


def shades() -> list[tuple[str, str]]:
    """The scale in `NUM_SHADES` steps: colour, and that of text on it."""
    colours = [scale_colour(step / (NUM_SHADES - 1)) for step in range(NUM_SHADES)]
    return [(to_hex(colour), text_colour(colour)) for colour in colours]


def shade(value: float, limits: tuple[float, float]) -> int:
    """The number of a value's step between the ends of a scale."""
    low, high = limits
    share = (value - low) / (high - low)
    return round(min(max(share, 0.0), 1.0) * (NUM_SHADES - 1))


def gradient() -> str:
    """The scale as a CSS background."""
    return f"linear-gradient(to right, {', '.join(to_hex(stop) for stop in _STOPS)})"


def _luminance(colour: Rgb) -> float:
    # WCAG 2.2, relative luminance of sRGB.
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
