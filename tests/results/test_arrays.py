"""Arrays of an archive, as numpy reads them, with one header at a time."""

import io
import zipfile
from unittest import mock

import numpy as np
import pytest

from stl_backbones import plain_files
from stl_backbones.results.arrays import read_arrays

ARRAYS = {
    "numbers": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "columns first": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "names": np.array(["a.png", "b/c.png"]),
    "nothing": np.empty((0, 4), np.uint16),
    "no names": np.array([], dtype=np.str_),
    "one": np.array(7),
    "flags": np.array([True, False]),
}


def packed(**content):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)
    return buffer.getvalue()


def archived(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def test_arrays_are_numpys():
    found = read_arrays(packed(**ARRAYS))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)


def test_headers_are_parsed_one_at_a_time():
    """Threads that parse at once end in a SystemError of Python 3.11."""
    seen = []

    def read(stream):
        seen.append(plain_files._parsing.locked())
        return header(stream)

    header = plain_files.npy.read_array_header_1_0
    plain_files._header.cache_clear()
    with mock.patch.object(plain_files.npy, "read_array_header_1_0", read):
        read_arrays(packed(**ARRAYS))
    assert seen == [True] * len(ARRAYS)


def test_objects_are_refused():
    with pytest.raises(ValueError, match="holds no plain values"):
        read_arrays(packed(things=np.array([{}], dtype=object)))


def test_a_flipped_bit_is_refused_or_changes_no_array():
    """In the directory it can rename an array or hide it, which the seal of a cell notices."""
    whole = packed(numbers=ARRAYS["numbers"], names=ARRAYS["names"])
    expected = [array.tolist() for array in read_arrays(whole).values()]
    refused = 0
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            try:
                found = read_arrays(bytes(damaged))
            except (ValueError, zipfile.BadZipFile):
                refused += 1
            else:
                assert all(array.tolist() in expected for array in found.values())
    assert refused > 4 * len(whole)


def test_a_member_that_unpacks_to_more_than_it_says_is_refused():
    whole = packed(zeros=np.zeros(1 << 16, np.uint8))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        size = archive.infolist()[0].file_size
    smaller = whole.replace(size.to_bytes(4, "little"), (200).to_bytes(4, "little"))
    with pytest.raises(zipfile.BadZipFile, match=r"'zeros\.npy' does not have its checksum"):
        read_arrays(smaller)


def with_member(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ("{'descr': '<U0', 'fortran_order': False, 'shape': (1099511627776,)}", b""),  # 4 TB
        ("{'descr': '|V0', 'fortran_order': False, 'shape': (3,)}", b""),
        ("{'descr': '<i8', 'fortran_order': False, 'shape': (0, 1180591620717411303424)}", b""),
        ("{'descr': '<i8', 'fortran_order': False, 'shape': (-1, -2)}", bytes(16)),
        ("{'descr': [], 'fortran_order': False, 'shape': ()}", b""),
        ("(" * 200, b""),
        ("\n  x\n y", b""),
    ],
)
def test_headers_that_are_none(header, data):
    text = header.encode()
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data
    with pytest.raises(ValueError, match=r"'a\.npy' is cut off, or holds no plain values"):
        read_arrays(with_member(content))


def test_a_member_of_no_bytes():
    with pytest.raises(ValueError, match=r"'a\.npy' is cut off"):
        read_arrays(with_member(b""))


def test_a_long_header_is_read():
    """Headers of more than 64 KiB are of version 2, with four bytes for their length."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, ARRAYS["numbers"], version=(2, 0))
    found = read_arrays(archived("numbers.npy", buffer.getvalue()))
    np.testing.assert_array_equal(found["numbers"], ARRAYS["numbers"])


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"])
def test_an_array_of_another_length_is_refused(change):
    buffer = io.BytesIO()
    np.save(buffer, ARRAYS["numbers"])
    with pytest.raises(ValueError, match=r"'numbers\.npy' is cut off"):
        read_arrays(archived("numbers.npy", change(buffer.getvalue())))
