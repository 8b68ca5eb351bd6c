"""Changes to the chunks of a PNG and the segments of a JPEG, which stay whole around them."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence

from faults.fuzz.mutators import BYTES, flip_bits
from faults.fuzz.reader import Mutator

_CHUNKS = (b"eXIf", b"tRNS", b"PLTE", b"acTL", b"iCCP", b"zTXt", b"iTXt", b"fcTL", b"pHYs")


def change_png_chunk(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Change, drop, repeat or exchange a chunk of a PNG; its checksum fits again."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    if not chunks:
        return flip_bits(data, rng, others)
    at, to = rng.randrange(len(chunks)), rng.randrange(len(chunks))
    name, content = chunks[at]
    kind = rng.randrange(8)
    if kind == 0:
        del chunks[at]
    elif kind == 1:
        chunks.insert(to, chunks[at])
    elif kind == 2:
        chunks.insert(to, (rng.choice(_CHUNKS), content))
    elif name == b"IDAT" and rng.random() < 0.5:
        chunks[at] = (name, zlib.compress(rng.choice(BYTES)(_inflated(content), rng, others)))
    else:
        chunks[at] = (name, rng.choice(BYTES)(content, rng, [content]))
    body = b"".join(
        len(own).to_bytes(4, "big") + name + own + zlib.crc32(name + own).to_bytes(4, "big")
        for name, own in chunks
    )
    return data[:8] + body


def _inflated(content: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(content, 1 << 20)
    except zlib.error:
        return b""


def change_jpeg_segment(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Change, drop, repeat or rename a segment before the scan of a JPEG; its length fits again."""
    segments, at = [], 2
    while data[at : at + 1] == b"\xff" and len(data) >= at + 4:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        segments.append((data[at + 1 : at + 2], data[at + 4 : at + 2 + size]))
        at += 2 + max(size, 2)
        if segments[-1][0] == b"\xda":
            break
    if not segments:
        return flip_bits(data, rng, others)
    place, to = rng.randrange(len(segments)), rng.randrange(len(segments))
    mark, content = segments[place]
    kind = rng.randrange(8)
    if kind == 0:
        del segments[place]
    elif kind == 1:
        segments.insert(to, segments[place])
    elif kind == 2:
        segments[place] = (bytes([rng.choice((*range(0xC0, 0xF0), 0xFE))]), content)
    else:
        segments[place] = (mark, rng.choice(BYTES)(content, rng, [content])[:65533])
    body = b"".join(b"\xff" + m + (len(own) + 2).to_bytes(2, "big") + own for m, own in segments)
    return data[:2] + body + data[at:]


PNG: tuple[Mutator, ...] = (change_png_chunk, change_png_chunk, *BYTES)
JPEG: tuple[Mutator, ...] = (change_jpeg_segment, change_jpeg_segment, *BYTES)
