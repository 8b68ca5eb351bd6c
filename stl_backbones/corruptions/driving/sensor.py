"""low_light and night: photons counted, amplified, read out with noise and rounded to 12 bits."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ndtr

from stl_backbones.corruptions.driving.light import LINEAR, check_level, to_srgb
from stl_backbones.corruptions.native.arrays import Bits, Doubles, Floats, Image
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel

FULL_WELL = 10000.0  # electrons of a white pixel at 0 stops
READ_NOISE = 3.0  # electrons
CODES = 4095  # of 12 bits

# Night: ours. A black body of 2700 K, as warm street lamps are: its linear sRGB for luminance 1,
# of which the camera's white balance takes half away (the square root).
LAMPS = (1.9353, 0.8036, 0.1918)
ADAPTED = tuple(math.sqrt(light) for light in LAMPS)
SKY_STOPS = 5.0  # darker at the top of the image than at the horizon and below
GAIN_BACK = 0.65  # of the lost stops, by amplifying
_NODES = 1024  # of expected electrons, evenly spaced in their square root: 0.05 deviations apart

_DRAWS = 65536
Counts = npt.NDArray[np.int32]
Table = tuple[Counts, Image]


def low_light(image: Image, level: float, rng: np.random.Generator) -> Image:
    """``n = Poisson(I FW / 2^e) + sigma N(0, 1)``, the value ``n 2^e / FW``, at 12 bits.

    FW is 10,000 electrons, sigma 3. The variance is ``K mean + K^2 sigma^2 + step^2 / 12`` with
    ``K = 2^e / FW`` (EMVA 1288). A photograph is tone-mapped and denoised already, and each value
    has noise of its own, without a mosaic of colours.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        level: e, the stops of light that are missing and made up for by gain, 0..12.
        rng: Its source of randomness.

    Raises:
        InputError: If the level is not in that range.
    """
    stops = check_level("low_light", level, (0, 12), "stops")
    out = np.empty_like(image)
    _expose(image.reshape(-1), out.reshape(-1), _bits(rng, image.size), *_by_level(stops))
    return out


def night(image: Image, level: float, rng: np.random.Generator) -> Image:
    """A street by its lamps: less light, of their colour, from below; and the sensor's noise.

    Ours, a sketch of night and no rendering of it: the light falls by e stops, of which gain gives
    0.65 e back, so that the picture is 0.35 e stops darker and as noisy as e stops make it; it is
    that of 2700 K, half balanced away; above the image's middle it falls by another 5 stops to
    the top, where a sky would be. No lamp, headlight or window is lit, and shadows stay those of
    the day. The sensor is `low_light`'s.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        level: e, 0..12 stops.
        rng: Its source of randomness.

    Raises:
        InputError: If the level is not in that range.
    """
    stops = check_level("night", level, (0, 12), "stops")
    table = _by_node(stops)
    scale = (_NODES - 1) / math.sqrt(max(ADAPTED))
    root = np.sqrt(LINEAR).astype(np.float32)
    gains = np.sqrt(lamp_light(image.shape[0])[:, None] * np.array(ADAPTED)) * scale
    out = np.empty_like(image)
    flat = image.shape[0], -1
    tables = root, gains.astype(np.float32), _bits(rng, image.size), *table
    _light_up(image.reshape(flat), *tables, out.reshape(flat))
    return out


def lamp_light(height: int) -> Doubles:
    """``(height,)``: the share of the lamps' light on each row, 1 from the middle down."""
    above = np.maximum((height - 1) / 2 - np.arange(height), 0) / ((height - 1) / 2)
    return np.asarray(2.0 ** (-SKY_STOPS * above))


def _bits(rng: np.random.Generator, size: int) -> Bits:
    words = rng.integers(0, 2**64 - 1, -(-size // 4), dtype=np.uint64, endpoint=True)
    return words.view(np.uint16)[:size]


@lru_cache(maxsize=8)
def _by_level(stops: float) -> Table:
    """The table of an image's 256 levels."""
    white = FULL_WELL / 2**stops
    return outcomes(np.float64(LINEAR) * white, white)


@lru_cache(maxsize=8)
def _by_node(stops: float) -> Table:
    """The table of `_NODES` expected counts up to the largest that lamps make."""
    white = FULL_WELL / 2**stops
    roots = np.arange(_NODES) / (_NODES - 1)
    return outcomes(roots**2 * white * max(ADAPTED), FULL_WELL / 2 ** (GAIN_BACK * stops))


def outcomes(expected: Doubles, white: float) -> Table:
    """How likely each sRGB level is, for expected electrons, as what 16 random bits look up.

    Args:
        expected: ``(N,)`` expected electrons.
        white: Electrons that make the value 1.

    Returns:
        ``(N, 256)`` how many of 65536 equally likely numbers give each level or a lower one, and
        ``(N, 256)`` the level at which to begin looking, by a number's upper 8 bits.
    """
    codes = np.rint(255 * to_srgb(np.arange(CODES + 1) / CODES)).astype(int)
    last = np.searchsorted(codes, np.arange(255), side="right") - 1  # the highest code of a level
    edges = (last + 0.5) * white / CODES
    most = int(expected.max() + 10 * math.sqrt(expected.max()) + 20)
    counts = np.arange(most + 1)
    below = ndtr((edges[None] - counts[:, None]) / READ_NOISE)  # (counts, 255)
    log_expected = np.log(np.maximum(expected, 1e-300))[:, None]
    likely = np.exp(counts * log_expected - expected[:, None] - gammaln(counts + 1))
    table = np.full((len(expected), 256), _DRAWS, np.int32)
    table[:, :255] = np.rint(likely @ below * _DRAWS)
    starts = np.arange(256) << 8
    guide = np.stack([np.searchsorted(row, starts, side="right") for row in table])
    return table, guide.astype(np.uint8)


@kernel
def _look_up(table: Counts, guide: Image, row: int, bits: int) -> int:
    level = np.int64(guide[row, bits >> np.uint16(8)])
    while bits >= table[row, level]:
        level += 1
    return level


@kernel
def _expose(image: Image, out: Image, bits: Bits, table: Counts, guide: Image) -> None:
    for i in range(image.shape[0]):
        out[i] = np.uint8(_look_up(table, guide, np.int64(image[i]), bits[i]))


@quick_kernel
def _light_up(
    image: Image, root: Floats, gains: Floats, bits: Bits, table: Counts, guide: Image, out: Image
) -> None:
    height, width = image.shape[0], image.shape[1] // 3
    places = np.empty(3 * width, np.int32)
    for row in range(height):
        for i in range(width):
            for channel in range(3):
                at = 3 * i + channel
                light = root[image[row, at]] * gains[row, channel]
                places[at] = np.int32(light + np.float32(0.5))
        draws = bits[3 * width * row :]
        for i in range(3 * width):
            out[row, i] = np.uint8(_look_up(table, guide, places[i], draws[i]))
