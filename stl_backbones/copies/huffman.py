"""Deflate's Huffman codes for literals and runs (RFC 1951, sections 3.2.2 to 3.2.7)."""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

END_OF_BLOCK, SYMBOLS, LONGEST_CODE, LONGEST_RUN = 256, 286, 15, 258

# Symbol 257 + i: the shortest run it stands for, and its extra bits; RFC 1951, section 3.2.5.
RUN_BASE = (
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
)  # fmt: skip
RUN_EXTRA = (0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0)

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint32]


def _symbol_of_run() -> Ints:
    symbols = np.zeros(LONGEST_RUN + 1, dtype=np.int64)
    for index, base in enumerate(RUN_BASE):
        symbols[base:] = END_OF_BLOCK + 1 + index
    return symbols


def _extra_bits() -> Ints:
    extra = np.zeros(SYMBOLS, dtype=np.int64)
    extra[END_OF_BLOCK + 1 :] = np.array(RUN_EXTRA) + 1  # and the distance's one bit
    return extra


def _code_lengths_header() -> tuple[int, int]:
    """What stands before the table: last block, dynamic codes, 286 + 1 codes, their own code.

    The code of the code lengths gives 4 bits to each of 0..15 and none to the three repeats.
    """
    value, bits = 0, 0
    fields = [(1, 1), (2, 2), (SYMBOLS - 257, 5), (0, 5), (19 - 4, 4)]
    fields += [(0, 3)] * 3 + [(4, 3)] * 16  # the repeats 16, 17, 18 come first
    for field, width in fields:
        value |= field << bits
        bits += width
    return value, bits


SYMBOL_OF_RUN = _symbol_of_run()  # by the run's length, 3..258
EXTRA_BITS = _extra_bits()  # per symbol, beyond its code
CODE_LENGTHS_HEADER = _code_lengths_header()  # value (least significant bit first), bits


def code_lengths(counts: Ints) -> Ints:
    """The length of each symbol's Huffman code, at most 15 bits.

    Args:
        counts: ``(286,)`` occurrences; at least two symbols occur.

    Returns:
        ``(286,)`` bits, 0 for symbols that do not occur.
    """
    while True:
        lengths = _huffman_depths(counts)
        if lengths.max() <= LONGEST_CODE:
            return lengths
        counts = np.where(counts > 0, counts // 2 + 1, 0)  # flattens the tree


def _huffman_depths(counts: Ints) -> Ints:
    heap = [(int(counts[symbol]), int(symbol)) for symbol in np.flatnonzero(counts)]
    heapq.heapify(heap)
    parents: dict[int, int] = {}
    node = SYMBOLS
    while len(heap) > 1:
        least, one = heapq.heappop(heap)
        second, other = heap[0]
        parents[one] = parents[other] = node
        heapq.heapreplace(heap, (least + second, node))
        node += 1
    depths = {node - 1: 0}
    for child in sorted(parents, reverse=True):  # a parent's number is larger than its children's
        depths[child] = depths[parents[child]] + 1
    return np.array([depths.get(symbol, 0) for symbol in range(SYMBOLS)], dtype=np.int64)


def canonical_codes(lengths: Ints) -> Codes:
    """The codes that lengths imply, first bit of the code in the least significant place.

    Args:
        lengths: ``(286,)`` bits, 0 for symbols without a code.
    """
    codes = np.zeros(SYMBOLS, dtype=np.uint32)
    code = 0
    for length in range(1, LONGEST_CODE + 1):
        code <<= 1
        for symbol in np.flatnonzero(lengths == length).tolist():
            codes[symbol] = int(f"{code:0{length}b}"[::-1], 2)
            code += 1
    return codes


def join(codes: npt.NDArray[np.generic], lengths: Ints) -> Codes:
    """Codes and their bits in one table, ``code << 8 | bits``."""
    return (codes.astype(np.int64) << 8 | lengths).astype(np.uint32)


def run_codes(codes: Codes, lengths: Ints) -> Codes:
    """Each run's code by its length, joined: symbol, extra bits, and the distance's 0 bit.

    Returns:
        ``(259,)``; the first three entries mean nothing.
    """
    runs = np.arange(LONGEST_RUN + 1)
    base = np.zeros(SYMBOLS, dtype=np.int64)
    base[END_OF_BLOCK + 1 :] = RUN_BASE
    extra = runs - base[SYMBOL_OF_RUN]
    extra[:3] = 0
    own = lengths[SYMBOL_OF_RUN]
    return join(
        codes[SYMBOL_OF_RUN].astype(np.int64) | (extra << own), own + EXTRA_BITS[SYMBOL_OF_RUN]
    )
