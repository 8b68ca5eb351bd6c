"""Random numbers that depend on an image's seed alone: not on its batch, nor on the device.

The generator is SplitMix64 read by position: word i of a stream is ``mix(key + i * gamma)``, with
one key per image and label. It needs 64-bit integer arithmetic only, so that CPU and GPU draw the
same bits, and any part of a stream can be drawn at once.

References:
    Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", figure 16;
    constants of the variant by Vigna, https://prng.di.unimi.it/splitmix64.c.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from stl_backbones.errors import InputError

_GAMMA = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))  # shift right and xor, multiply
_LAST_SHIFT = 31
_MODULUS = 1 << 64

LEVELS = 1 << 16  # steps of a draw that is looked up in a table


class Draws:
    """The named random numbers of a batch, each image's from its own seed.

    Args:
        seeds: One per image, 0 to 2**32 - 1.
        device: Where the tensors are wanted.
        given: Label -> tensor that is used instead of a draw.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        device: torch.device,
        given: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._seeds = tuple(seeds)
        self._device = device
        self._given = {} if given is None else given

    def given(self, label: str, shape: Sequence[int]) -> Tensor | None:
        """The injected tensor, ``(N, *shape)``, or ``None``.

        Raises:
            ValueError: If it has another shape.
        """
        if label not in self._given:
            return None
        expected = (len(self._seeds), *shape)
        if tuple(self._given[label].shape) != expected:
            raise InputError(
                f"draws['{label}'] must have shape {expected}, "
                f"got {tuple(self._given[label].shape)}"
            )
        return self._given[label].to(self._device)

    def uniform(self, label: str, shape: Sequence[int]) -> Tensor:
        """Uniform in [0, 1), a multiple of 2**-24: ``(N, *shape)`` float32."""
        given = self.given(label, shape)
        if given is not None:
            return given.to(torch.float32, copy=True)  # the corruptions work in place
        bits = self._bits(label, shape, torch.int32)
        return ((bits >> 8) & 0xFFFFFF).float().mul_(2.0**-24)

    def normal(self, label: str, shape: Sequence[int]) -> Tensor:
        """Standard normal, one of 65536 equally likely values: ``(N, *shape)`` float32.

        Inverting the distribution by table, not by formula, makes all devices agree.
        """
        given = self.given(label, shape)
        if given is not None:
            return given.to(torch.float32, copy=True)  # the corruptions work in place
        levels = self.levels(label, shape)
        return _normal_table(self._device).index_select(0, levels.view(-1)).view(levels.shape)

    def levels(self, label: str, shape: Sequence[int]) -> Tensor:
        """Uniform in 0..65535: ``(N, *shape)`` int32."""
        return self._bits(label, shape, torch.int16).to(torch.int32).add_(LEVELS // 2)

    def numbers(self, label: str, low: float, high: float) -> list[float]:
        """One uniform in [low, high) per image, on the host: nothing waits for the device."""
        given = self.given(label, ())
        if given is not None:
            return [float(value) for value in given.tolist()]
        return [low + (high - low) * _unit(_stream_key(seed, label)) for seed in self._seeds]

    def integers(self, label: str, ends: Sequence[int]) -> list[int]:
        """One uniform integer in 0..end - 1 per image, on the host."""
        given = self.given(label, ())
        if given is not None:
            return [int(value) for value in given.tolist()]
        return [
            int(end * _unit(_stream_key(seed, label)))
            for seed, end in zip(self._seeds, ends, strict=True)
        ]

    def _bits(self, label: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Random bits: ``(N, *shape)`` of an integer type no wider than 64 bits."""
        count = math.prod(shape)
        keys = torch.tensor([_signed(_stream_key(seed, label)) for seed in self._seeds])
        words = _words(
            keys.to(self._device, non_blocking=True),
            -(-count * dtype.itemsize // torch.int64.itemsize),
        )
        return words.view(dtype)[:, :count].reshape(len(self._seeds), *shape)


def _words(keys: Tensor, count: int) -> Tensor:
    """Words 1..count of the streams of ``(N,)`` keys: ``(N, count)`` int64."""
    positions = torch.arange(1, count + 1, device=keys.device).mul_(_signed(_GAMMA))
    words = keys[:, None] + positions
    for shift, factor in _ROUNDS:
        words.bitwise_xor_(_shift_right(words, shift)).mul_(_signed(factor))
    return words.bitwise_xor_(_shift_right(words, _LAST_SHIFT))


def _shift_right(words: Tensor, shift: int) -> Tensor:
    """Shift in zeros; torch's own shift of a signed integer copies the sign."""
    return (words >> shift).bitwise_and_((1 << (64 - shift)) - 1)


def _unit(key: int) -> float:
    """Word 1 of a stream as a number in [0, 1), in Python."""
    word = (key + _GAMMA) % _MODULUS
    for shift, factor in _ROUNDS:
        word = (word ^ (word >> shift)) * factor % _MODULUS
    word ^= word >> _LAST_SHIFT
    return (word >> 11) * 2.0**-53


def _stream_key(seed: int, label: str) -> int:
    digest = hashlib.blake2b(f"{seed}|{label}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _signed(word: int) -> int:
    return word - _MODULUS if word >= _MODULUS // 2 else word


@lru_cache(maxsize=8)
def _normal_table(device: torch.device) -> Tensor:
    """The middle of each of 65536 equally likely slices of the normal distribution."""
    values = ndtri((np.arange(LEVELS) + 0.5) / LEVELS)
    return torch.from_numpy(values.astype(np.float32)).to(device)
