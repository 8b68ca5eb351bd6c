"""Changes to a file's bytes: blind ones, and those that keep the format whole around them."""

from __future__ import annotations

import ast
import copy
import io
import json
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

from faults.fuzz.reader import Mutator

_NUMBERS = (0, 1, -1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1,
            2**63 - 1, 2**63, 2**64 - 1, 10**30, 10**400, -(2**31),
            -(2**63), 0.5, -0.0, 1e-320, 1e308)  # fmt: skip
_ODD_VALUES = (
    *_NUMBERS, float("nan"), float("inf"), -float("inf"), None, True, False, "", " ", "\0",
    "a" * 5000, "../../etc/passwd", "/", ".", "NaN", "-1", "1e999", "\ud800", "\ufb00\u202e",
    "9" * 5000, [], {}, [[]], [None], {"": None}, [0] * 1000,
)  # fmt: skip
_TEXTS = (
    "0", "-1", "NaN", "inf", "1e999", "null", "9" * 5000, "[" * 3000, "{", "}", '"', "'", "\\", ",",
    ":", "\n", "\r", "\0", "\t", "\ufeff", "\ufb00", "\u202e", "=", "#", "..", "/", "%", "\u0660",
    "!!python/object:os.system", "&a [*a]",
)  # fmt: skip


# ----------------------------------------------------------------------------- any file


def flip_bits(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Turn up to four bits over."""
    del others
    found = bytearray(data)
    for _ in range(rng.randint(1, 4) if found else 0):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def cut(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Take a piece out, or all behind a place."""
    del others
    start = rng.randrange(len(data) + 1)
    stop = len(data) if rng.random() < 0.5 else min(len(data), start + rng.choice((1, 2, 4, 8, 64)))
    return data[:start] + data[stop:]


def splice(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Put a piece of another file in, or a piece of the same one a second time."""
    other = rng.choice(others)
    start = rng.randrange(len(other) + 1)
    piece = other[start : start + rng.choice((1, 4, 16, 64, 1024))]
    at = rng.randrange(len(data) + 1)
    return data[:at] + piece + data[at + (len(piece) if rng.random() < 0.5 else 0) :]


def put_number(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Write a number at the edge of its range over some bytes, in either byte order."""
    del others
    size = rng.choice((1, 2, 4, 8))
    number = int(rng.choice([one for one in _NUMBERS if abs(one) < 2**64]))
    packed = (number % (1 << 8 * size)).to_bytes(size, rng.choice(("little", "big")))
    at = rng.randrange(len(data) + 1)
    return data[:at] + packed + data[at + size :]


BYTES: tuple[Mutator, ...] = (flip_bits, cut, splice, put_number)


# ----------------------------------------------------------------------------- texts


def change_text(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Put odd text in or over a word; drop, repeat or exchange lines."""
    del others
    if rng.random() < 0.5:
        lines = data.split(b"\n")
        at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[at : at + 1] = rng.choice(([], [lines[at], lines[at]], [lines[to]]))
        return b"\n".join(lines)
    at = rng.randrange(len(data) + 1)
    size = rng.choice((0, 1, 4, 12))
    return data[:at] + rng.choice(_TEXTS).encode() + data[at + size :]


TEXT: tuple[Mutator, ...] = (change_text, change_text, flip_bits, cut, splice)


# ----------------------------------------------------------------------------- JSON


def change_json(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Change a value somewhere in the tree."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return change_text(data, rng, others)
    try:
        text = json.dumps(changed_tree(tree, rng))
    except (ValueError, RecursionError):
        return data
    if rng.random() < 0.1:  # a key twice
        text = text.replace("{", '{"id": 1, "id": null, ', 1)
    return text.encode("utf-8", "surrogatepass")


def changed_tree(tree: Any, rng: random.Random) -> Any:
    """A tree of dicts and lists with one change."""
    holder = [tree]
    places = list(_places(holder))
    parent, key = rng.choice(places)
    kind = rng.randrange(7)
    if kind == 0 and parent is not holder:
        del parent[key]
    elif kind == 1:
        parent[key] = [parent[key]] if rng.random() < 0.5 else {"a": parent[key]}
    elif kind == 2 and isinstance(parent, list) and parent is not holder:
        parent.append(copy.deepcopy(parent[key]))
    elif kind == 3:
        other, name = rng.choice(places)
        parent[key] = copy.deepcopy(other[name])
    elif kind == 4 and isinstance(parent, dict):
        parent[str(rng.choice(_ODD_VALUES))[:40]] = parent.pop(key)
    elif kind == 5 and rng.random() < 0.1:
        for _ in range(600):
            parent[key] = [parent[key]]
    else:
        parent[key] = copy.deepcopy(rng.choice(_ODD_VALUES))
    return holder[0]


def _places(holder: Any) -> Any:
    """Each value's holder, with its key or index there."""
    found = [(holder, 0)]
    for parent, key in found:
        value = parent[key]
        if isinstance(value, dict):
            found += [(value, name) for name in value]
        elif isinstance(value, list):
            found += [(value, index) for index in range(len(value))]
    return found


def change_json_lines(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Change the JSON of one line."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    at = rng.randrange(len(lines))
    lines[at] = change_json(lines[at], rng, others).strip() + b"\n"
    return b"".join(lines)


JSON: tuple[Mutator, ...] = (change_json, change_json, change_json, *TEXT)
JSON_LINES: tuple[Mutator, ...] = (change_json_lines, change_json_lines, *TEXT)


# ----------------------------------------------------------------------------- archives and pickles


def change_member(inner: Callable[[str], Sequence[Mutator]]) -> Mutator:
    """Change a member of a zip archive, whose checksums fit again.

    Args:
        inner: The ways to change a member, by its name.
    """

    def change(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = [(one, archive.read(one)) for one in archive.infolist()]
        except Exception:  # of any damaged archive
            return flip_bits(data, rng, others)
        if not members:
            return data
        at = rng.randrange(len(members))
        info, content = members[at]
        kind = rng.randrange(12)
        if kind == 0:
            del members[at]
        elif kind == 1:
            members.append((info, content))
        elif kind == 2:
            name = rng.choice([*(one.filename for one, _ in members), "../x", "", "a/b", "x.npy"])
            members[at] = (zipfile.ZipInfo(name), content)
        else:
            members[at] = (info, rng.choice(inner(info.filename))(content, rng, [content]))
        return zipped(members)

    return change


def zipped(members: Sequence[tuple[zipfile.ZipInfo, bytes]]) -> bytes:
    """An archive of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for info, content in members:
            again = zipfile.ZipInfo(info.filename, (1980, 1, 1, 0, 0, 0))
            kind = info.compress_type if info.compress_type in (0, 8) else 0
            archive.writestr(again, content, kind)
    return buffer.getvalue()


def change_pickle(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Drop, repeat or exchange an operation, or change the number or text that it has."""
    try:
        starts = [place for _, _, place in pickletools.genops(data) if place is not None]
    except Exception:  # of any damaged pickle
        return flip_bits(data, rng, others)
    pieces = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    at, to = rng.randrange(len(pieces)), rng.randrange(len(pieces))
    kind = rng.randrange(6)
    if kind == 0:
        del pieces[at]
    elif kind == 1:
        pieces.insert(to, pieces[at])
    elif kind == 2:
        pieces[at] = pieces[to]
    elif kind == 3 and len(pieces[at]) > 1:
        pieces[at] = pieces[at][:1] + put_number(pieces[at][1:], rng, others)[: len(pieces[at]) - 1]
    elif kind == 4:
        pieces[at] = rng.choice((
            b"K\x00", b"J\xff\xff\xff\xff", b"J\xff\xff\xff\x7f", b"N", b"]", b"}", b")", b"\x88",
            b"\x8a\x08" + b"\xff" * 7 + b"\x7f", b"\x8a\x0a" + b"\xff" * 9 + b"\x7f",
            b"G\x7f\xf8" + bytes(6), b"X\x01\x00\x00\x00a", b"0", b"2", b"(",
            b"t", b"R", b"b", b"u", b"s", b"e", b"Q",
        ))  # fmt: skip
    else:
        pieces[at] = flip_bits(pieces[at], rng, others)
    return b"".join(pieces)


PICKLE: tuple[Mutator, ...] = (change_pickle, change_pickle, change_pickle, *BYTES)


# ----------------------------------------------------------------------------- arrays and tensors


def change_npy_header(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Change type, order or shape in the header of a ``.npy`` file."""
    try:
        size = struct.unpack("<H", data[8:10])[0]
        header = ast.literal_eval(data[10 : 10 + size].decode("latin1"))
        shape = list(header["shape"])
    except (ValueError, SyntaxError, KeyError, TypeError, struct.error, RecursionError):
        return flip_bits(data, rng, others)
    kind = rng.randrange(4)
    if kind == 0:
        header["descr"] = rng.choice((
            "<f8", "|O", "|u1", "<i8", ">f4", "<U0", "<U1000000000", "|V0", "|S0", "<f16", "?", "x",
            [("a", "<i4")], [("a", "|O")], "<M8[ns]", "", 5, None,
        ))  # fmt: skip
    elif kind == 1 and shape:
        shape[rng.randrange(len(shape))] = rng.choice([*_NUMBERS, True, None, "1"])
    elif kind == 2:
        shape = rng.choice(([], [0], [1] * 70, [*shape, 1], shape[:-1], [2**32, 2**32], [-1, -4]))
    else:
        header["fortran_order"] = rng.choice((True, False, 1, None))
    header["shape"] = tuple(shape)
    text = repr(header).encode("latin1", "replace")
    if rng.random() < 0.2:
        text = change_text(text, rng, others)
    text = (text.ljust(117) + b"\n")[: 2**16 - 1]
    return data[:8] + struct.pack("<H", len(text)) + text + data[10 + size :]


NPY: tuple[Mutator, ...] = (change_npy_header, change_npy_header, *BYTES)


def change_safetensors_header(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Change the JSON header of a safetensors file; its length fits again."""
    if len(data) < 8:
        return flip_bits(data, rng, others)
    size = int.from_bytes(data[:8], "little")
    header = change_json(data[8 : 8 + size], rng, others)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


SAFETENSORS: tuple[Mutator, ...] = (change_safetensors_header, change_safetensors_header, *BYTES)
