"""blue_noise_sample, brownish_noise: noise made from its spectrum."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy.fft

from stl_backbones.corruptions.bar.elementary import cosine, sine
from stl_backbones.corruptions.bar.rows import add, interleave
from stl_backbones.corruptions.native.arrays import Floats, Image
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.scratch import scratch

Spectrum = npt.NDArray[np.complex64]

_BLUE, _BROWN = 0, 1
_HALF = np.float32(0.5)


def blue_noise_sample(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Black where blue noise is below ``0.3 * level - 2.5``, all channels alike.

    Draws: the noise's phases, see `noise_of_spectrum`.
    """
    noise = noise_of_spectrum(image.shape[:2], _BLUE, rng)
    out = np.empty_like(image)
    _keep_above(image, noise, np.float32(0.3 * level - 2.5), out)
    return out


@kernel
def _keep_above(image: Image, noise: Floats, threshold: float, out: Image) -> None:
    pixels = np.empty(3 * image.shape[1], np.float32)
    for row in range(image.shape[0]):
        interleave(noise[row], noise[row], noise[row], pixels)
        levels, target = image[row].reshape(-1), out[row].reshape(-1)
        for i in range(pixels.shape[0]):
            target[i] = levels[i] if pixels[i] > threshold else np.uint8(0)


def brownish_noise(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Add noise of amplitude 1 / (k^2 + 1) and standard deviation ``6.4 * level`` to each channel.

    Draws: the phases of red, green and blue, see `noise_of_spectrum`.
    """
    noise = [noise_of_spectrum(image.shape[:2], _BROWN, rng) for _ in range(3)]
    out = np.empty_like(image)
    _add(image, (noise[0], noise[1], noise[2]), np.float32(6.4 * level), out)
    return out


@kernel
def _add(image: Image, noise: tuple[Floats, Floats, Floats], gain: float, out: Image) -> None:
    pixels = np.empty(3 * image.shape[1], np.float32)
    for row in range(image.shape[0]):
        interleave(noise[0][row], noise[1][row], noise[2][row], pixels)
        add(image[row].reshape(-1), pixels, gain, out[row].reshape(-1))


def noise_of_spectrum(shape: tuple[int, int], colour: int, rng: np.random.Generator) -> Floats:
    """The real part of the inverse transform of ``amplitude(k) * exp(1j * phase)``.

    k is the distance to the middle of the centred spectrum, in waves per S, S the shorter side.
    Phases are U(0, 2 pi) in the left half of the array and its point reflection in the right half;
    an odd width's middle column is drawn of its own down to its middle, which is 0, and reflected.

    Args:
        shape: H, W.
        colour: `_BLUE` for amplitude k, `_BROWN` for 1 / (k^2 + 1).
        rng: Draws ``(H, W // 2)`` float32 phases, then, if W is odd, ``(H // 2,)``.

    Returns:
        ``(H, W)`` float32 of standard deviation 1; its mean is not removed.
    """
    height, width = shape
    side, half = min(shape), width // 2
    phases = scratch("phases", (height, (width + 1) // 2), np.float32)
    if width % 2 == 0:
        rng.random(dtype=np.float32, out=phases)
    else:
        phases[:, :half] = rng.random((height, half), np.float32)
        middle = rng.random(height // 2, np.float32)
        phases[:, half] = 0
        phases[: height // 2, half] = middle
        phases[height - height // 2 :, half] = middle[::-1]
    spectrum = scratch("spectrum", (height, half + 1), np.complex64)
    squares = _squares(height, side), _squares(width, side)
    deviation = _fill(phases, squares, colour, width, spectrum)
    made: Floats = scipy.fft.irfft2(spectrum, shape, norm="forward", overwrite_x=True)
    np.multiply(made, np.float32(1 / deviation), out=made)
    return made


def _squares(size: int, side: int) -> Floats:
    """Squared frequencies of an axis in waves per ``side`` pixels, in the transform's order."""
    squares: Floats = np.square(np.fft.fftfreq(size, 1 / side)).astype(np.float32)
    return squares


@kernel
def _fill(
    phases: Floats, squares: tuple[Floats, Floats], colour: int, width: int, spectrum: Spectrum
) -> float:
    """Fill ``(H, W // 2 + 1)`` with what is left of the spectrum in the real part of the noise.

    That is ``(F(k) + conj(F(-k))) / 2``. Phases are turned to radians in their place.

    Returns:
        The noise's standard deviation, from the sum of squares without the zero frequency.
    """
    height, half = spectrum.shape[0], spectrum.shape[1] - 1
    sines, powers = np.empty_like(phases), np.zeros(half + 1)
    _turn(phases, sines)
    is_even = 1 - width % 2
    line = np.empty(half + 1, np.float32)
    reals, imaginaries = np.empty(half + 1, np.float32), np.empty(half + 1, np.float32)
    for row in range(height):
        place = (row + height // 2) % height
        mirrored = height - 1 - place
        opposite = (height - row + height // 2) % height
        _amplitudes(squares[0][row], squares[1], colour, line)
        cosines_1, cosines_2 = phases[mirrored], phases[opposite]
        sines_1, sines_2 = sines[mirrored], sines[opposite]
        last = half - is_even  # the column that is the reflection of frequency 0
        for i in range(1, last + 1):
            reals[i] = cosines_1[last - i] + cosines_2[half - i]
            imaginaries[i] = sines_1[last - i] - sines_2[half - i]
        if is_even:  # frequency 0 is in the right half, the highest one in the left only
            reals[0] = phases[mirrored, last] + phases[height - 1 - opposite, last]
            imaginaries[0] = sines[mirrored, last] - sines[height - 1 - opposite, last]
            reals[half] = phases[place, 0] + phases[opposite, 0]
            imaginaries[half] = sines[place, 0] - sines[opposite, 0]
        else:
            reals[0] = phases[place, half] + phases[opposite, half]
            imaginaries[0] = sines[place, half] - sines[opposite, half]
        numbers = spectrum[row].view(np.float32)
        for i in range(half + 1):
            reals[i] *= line[i]
            imaginaries[i] *= line[i]
        _pair(reals, imaginaries, numbers)
        if row == 0:
            reals[0] = np.float32(0)  # the mean is no part of the deviation
        for i in range(half + 1):
            powers[i] += reals[i] * reals[i] + imaginaries[i] * imaginaries[i]
    once = powers[0] + (powers[half] if is_even else 0.0)
    return math.sqrt(2 * powers.sum() - once)


@kernel
def _turn(phases: Floats, sines: Floats) -> None:
    """Turns of 0..1 -> their cosines, in place, and sines."""
    turn = np.float32(2 * math.pi)
    for row in range(phases.shape[0]):
        own, other = phases[row], sines[row]
        for i in range(own.shape[0]):
            other[i] = sine(turn * own[i])
        for i in range(own.shape[0]):
            own[i] = cosine(turn * own[i])


@kernel
def _amplitudes(square: float, squares: Floats, colour: int, out: Floats) -> None:
    """Half of the amplitudes of a row of the spectrum."""
    if colour == 0:
        for i in range(out.shape[0]):
            out[i] = _HALF * np.sqrt(square + squares[i])
    else:
        for i in range(out.shape[0]):
            out[i] = _HALF / (square + squares[i] + np.float32(1))


@kernel
def _pair(first: Floats, second: Floats, out: Floats) -> None:
    """Two rows -> one of pairs."""
    for i in range(first.shape[0]):
        out[2 * i], out[2 * i + 1] = first[i], second[i]
