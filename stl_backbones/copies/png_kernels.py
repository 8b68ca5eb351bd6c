"""The compiled loops of the PNG encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.copies.huffman import (
    END_OF_BLOCK,
    LONGEST_RUN,
    SYMBOL_OF_RUN,
    SYMBOLS,
)
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.scratch import scratch

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint32]
_SUB, _PAETH = 1, 4  # PNG, section 9.2
NONE, ALL = np.uint64(0), np.uint64(0xFFFFFFFFFFFFFFFF)
ONES = np.uint64(0x0101010101010101)
BITS, BITS_PLACE = np.uint64(255), np.uint64(8)
SHORTEST_RUN = 8  # deflate would take 3, but literals that repeat cost few bits


@kernel
def paeth(rows: Bytes, filtered: Bytes) -> None:
    """PNG's Paeth filter; the first row, which has none above, is filtered by its left neighbours.

    Args:
        rows: ``(H, 3 * W)`` uint8.
        filtered: ``(H, 1 + 3 * W)`` uint8, written.
    """
    width = rows.shape[1]
    filtered[0, 0] = _SUB
    filtered[0, 1:4] = rows[0, :3]
    filtered[0, 4:] = rows[0, 3:] - rows[0, :-3]
    # Rows of int16 let the compiler use vectors: 20 times faster than from uint8 directly.
    left, above, corner = (
        np.empty(width, np.int16),
        np.empty(width, np.int16),
        np.empty(width, np.int16),
    )
    for y in range(1, rows.shape[0]):
        row, upper, result = rows[y], rows[y - 1], filtered[y]
        result[0] = _PAETH
        result[1:4] = row[:3] - upper[:3]
        for x in range(3, width):
            left[x], above[x], corner[x] = row[x - 3], upper[x], upper[x - 3]
        for x in range(3, width):
            a, b, c = left[x], above[x], corner[x]
            to_left = np.int16(b - c)
            to_above = np.int16(a - c)
            to_corner = np.int16(to_left + to_above)
            to_left = np.int16(max(to_left, np.int16(-to_left)))
            to_above = np.int16(max(to_above, np.int16(-to_above)))
            to_corner = np.int16(max(to_corner, np.int16(-to_corner)))
            guess = b if to_above <= to_corner else c
            guess = a if (to_left <= to_above) & (to_left <= to_corner) else guess
            result[1 + x] = np.uint8(np.int16(row[x]) - guess)


@kernel
def compare_neighbours(data: Bytes, equal: Bytes) -> None:
    """Mark where a byte is the one before; called apart from `collect_runs` to be vectorised.

    Args:
        data: ``(N,)`` uint8.
        equal: ``(M + 8,)`` uint8, written: 1 where it is, 0 from N on; M, a multiple of 8, is at
            least N.
    """
    equal[0] = 0
    for at in range(1, data.size):
        equal[at] = np.uint8(data[at] == data[at - 1])
    equal[data.size :] = 0


@kernel
def mark_starts(equal: Bytes, starts: Bytes) -> None:
    """Mark where 8 in a row are equal.

    Args:
        equal: ``(M + 8,)`` from `compare_neighbours`.
        starts: ``(M,)`` uint8, written: 1 where they are, else 0.
    """
    for at in range(starts.size):
        four = equal[at] & equal[at + 1] & equal[at + 2] & equal[at + 3]
        starts[at] = four & equal[at + 4] & equal[at + 5] & equal[at + 6] & equal[at + 7]


@kernel
def collect_runs(equal: Bytes, words: npt.NDArray[np.uint64], where: Numbers) -> Any:
    """List the runs.

    Args:
        equal: ``(M + 8,)`` from `compare_neighbours`.
        words: ``(M / 8,)``, the bytes of `mark_starts`.
        where: Indices of words that are not zero.

    Returns:
        ``(R, 2)`` int64: start and length, 8 to 258, of runs that do not overlap.
    """
    runs: Any = np.empty((1024, 2), np.int64)
    found, free = 0, 0  # runs so far, and where the next may start
    for index in where:
        word, first = words[index], 8 * index
        while word != NONE and free < first + 8:
            if free > first:
                word &= ALL << np.uint64(8 * (free - first))
                free = first  # done with
                continue
            # The ones below the lowest set bit, counted bytewise: where the next run starts.
            below = (word & (~word + np.uint64(1))) - np.uint64(1)
            start = first + int(((below & ONES) * ONES) >> np.uint64(56))
            free = start + SHORTEST_RUN
            while equal[free] and free - start < LONGEST_RUN:
                free += 1
            if found == runs.shape[0]:
                runs = np.append(runs, np.empty_like(runs), axis=0)
            runs[found, 0], runs[found, 1] = start, free - start
            found += 1
    return runs[:found]


@kernel
def count_symbols(data: Bytes, runs: Numbers) -> Any:
    """Count literals, run symbols and the end of the block.

    Args:
        data: ``(N,)`` uint8.
        runs: ``(R, 2)`` from `find_runs`.

    Returns:
        ``(286,)`` int64.
    """
    tables = np.zeros((4, SYMBOLS), np.int64)  # a count need not wait for an equal neighbour's
    quarter = data.size // 4
    for at in range(quarter):
        tables[0, data[at]] += 1
        tables[1, data[quarter + at]] += 1
        tables[2, data[2 * quarter + at]] += 1
        tables[3, data[3 * quarter + at]] += 1
    for at in range(4 * quarter, data.size):
        tables[0, data[at]] += 1
    counts = tables.sum(0)
    for index in range(runs.shape[0]):
        start, length = runs[index]
        counts[data[start]] -= length
        counts[SYMBOL_OF_RUN[length]] += 1
    counts[END_OF_BLOCK] = 1
    return counts


@kernel
def emit(
    data: Bytes, runs: Numbers, literal_codes: Codes, run_codes: Codes, words: Codes, start: int
) -> None:
    """Write the codes of all symbols into ``words``, from bit ``start`` on.

    A code and its bits share a number, ``code << 8 | bits``; a code's first bit is the lowest.

    Args:
        data: ``(N,)`` uint8.
        runs: ``(R, 2)`` from `find_runs`.
        literal_codes: ``(286,)`` of each symbol, at most 15 bits.
        run_codes: ``(259,)`` by a run's length, extra bits and distance included, at most 21 bits.
        words: Written from ``start`` on; one longer than needed.
        start: First free bit.
    """
    place, held, word = start // 32, np.uint64(start % 32), np.uint64(words[start // 32])
    at = 0
    for index in range(runs.shape[0] + 1):
        end = runs[index, 0] if index < runs.shape[0] else data.size
        while at < end:
            # Two at a time: the chain from word to word is what takes the time.
            one = np.uint64(literal_codes[data[at]])
            at += 1
            two = np.uint64(literal_codes[data[at]]) if at < end else np.uint64(0)
            at += 1
            bits = one & BITS
            code = (one >> BITS_PLACE) | ((two >> BITS_PLACE) << bits)
            place, held, word = _push(words, place, held, word, code, bits + (two & BITS))
        at = end
        if index < runs.shape[0]:
            length = runs[index, 1]
            both = np.uint64(run_codes[length])
            at += length
        else:
            both = np.uint64(literal_codes[END_OF_BLOCK])
        place, held, word = _push(words, place, held, word, both >> BITS_PLACE, both & BITS)
    words[place] = np.uint32(word)


@kernel
def _push(words: Codes, place: Any, held: Any, word: Any, code: Any, bits: Any) -> Any:
    """Append a code; without a branch, since whether a word is full is as good as random."""
    word |= code << held
    held += bits
    words[place] = np.uint32(word & np.uint64(0xFFFFFFFF))
    full = held >> np.uint64(5)
    word >>= full << np.uint64(5)
    return place + np.int64(full), held & np.uint64(31), word


__all__ = [
    "collect_runs",
    "compare_neighbours",
    "count_symbols",
    "emit",
    "mark_starts",
    "paeth",
    "scratch",
]
