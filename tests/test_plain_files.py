"""JSON and arrays of any bytes: read, or refused in one line."""

import io
import json
import os

import numpy as np
import pytest

from stl_backbones.errors import InputError
from stl_backbones.plain_files import map_array, read_json


def test_what_is_whole_is_read(tmp_path):
    name = os.fsdecode(b"caf\xe9")  # a file's, and no UTF-8
    text = f'{{"a": [1, "ö"], "b": {json.dumps(name)}}}'
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"a": [1, "ö"], "b": name}
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    assert map_array(tmp_path / "a.npy").tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.json' is truncated or no JSON in UTF-8: Expecting value"),
        (b"\xff", "no JSON in UTF-8: 'utf-8' codec"),
        (b"1" * 5000, "no JSON in UTF-8: Exceeds the limit"),
        (b"[" * 100_000, "is nested too deep"),
        (b'{"a":' * 100_000, "is nested too deep"),
    ],
)
def test_no_json(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_json(tmp_path / "a.json")


def with_header(text, data=bytes(48)):
    """A file of version 1 whose header is this text."""
    header = text.encode("latin1")
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nothing",
        b"PK\x05\x06" + bytes(18),  # an empty archive
        with_header("{'descr': '<i8', 'fortran_order': False, 'shape': (2, 3)"),
        with_header("{'descr': '|O', 'fortran_order': False, 'shape': (6,)}"),
        with_header("{'descr': [], 'fortran_order': False, 'shape': (6,)}"),
        with_header("{'descr': '<i8', 'fortran_order': False, 'shape': (10**400,)}"),
        with_header("{'descr': '<i8', 'fortran_order': False, 'shape': (9" + 400 * "9" + ",)}"),
        with_header("{'descr': '<i8', 'fortran_order': False, 'shape': (4611686018427387904,)}"),
        with_header("{'descr': '<U0', 'fortran_order': False, 'shape': (-1,)}"),
        b"\x93NUMPY\x03\x00v\x00\xff\xff\x00\x00?",  # a header of 4 GB
        with_header("(" * 200),
        with_header("\n  x\n y"),
    ],
)
def test_no_array(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npy' is no whole"):
        map_array(tmp_path / "a.npy")


def test_an_array_and_more(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    (tmp_path / "a.npy").write_bytes(buffer.getvalue() + b"x")
    with pytest.raises(
        InputError,
        match=r"no whole \.npy file of numbers: 25 bytes for \(3,\) values of type int64",
    ):
        map_array(tmp_path / "a.npy")
