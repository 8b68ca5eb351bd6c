"""What stands in for pickled objects, against numpy's own pickles and edited ones."""

import argparse
import pickle

import numpy as np
import pytest
import torch

from stl_backbones.models.safe_types import (
    SAFE_TYPES,
    PickledArray,
    PickledDtype,
    PickledHistory,
    trusting_only,
)

LITTLE = (3, "<", None, None, None, -1, -1, 0)  # the state of a pickled dtype of plain numbers
_empty_array = SAFE_TYPES["numpy.core.multiarray._reconstruct"]
_plain_scalar = SAFE_TYPES["numpy.core.multiarray.scalar"]
_history_statistic = SAFE_TYPES["builtins.getattr"]


def dtype_of(code, order="<"):
    made = PickledDtype(code)
    made.__setstate__((3, order, None, None, None, -1, -1, 0))
    return made


def array_of(state):
    made = PickledArray()
    made.__setstate__(state)
    return made.array


def test_states_are_numpys():
    assert np.dtype("<f8").__reduce__()[2] == LITTLE
    assert np.arange(3.0).__reduce__()[1][1:] == ((0,), b"b")


@pytest.mark.parametrize(("order", "expected"), [("<", "<i4"), (">", ">i4"), ("|", "=i4")])
def test_a_type_keeps_its_byte_order(order, expected):
    assert dtype_of("i4", order).dtype == np.dtype(expected)


@pytest.mark.parametrize("code", ["O8", "V8", "M8", "U3"])
def test_types_of_other_things_are_refused(code):
    with pytest.raises(pickle.UnpicklingError, match=rf"GLOBAL numpy\.dtype '{code}'"):
        PickledDtype(code)


@pytest.mark.parametrize(
    "state",
    [
        (4, *LITTLE[1:]),
        (3, "!", *LITTLE[2:]),
        (3, "<", ("f8", (2,)), *LITTLE[3:]),
        (*LITTLE[:-1], 63),
    ],
)
def test_other_states_of_a_type_are_refused(state):
    with pytest.raises(pickle.UnpicklingError, match="dtype of no plain number"):
        PickledDtype("f8").__setstate__(state)


def test_a_scalar():
    assert _plain_scalar(dtype_of("i2", ">"), b"\1\2") == 258
    assert _plain_scalar("<i2", b"\1\2") == 513


@pytest.mark.parametrize(("kind", "data"), [(dtype_of("i2"), b"123"), ("O", b"12345678")])
def test_other_scalars_are_refused(kind, data):
    with pytest.raises(pickle.UnpicklingError, match="of another size than its type"):
        _plain_scalar(kind, data)


@pytest.mark.parametrize("is_fortran", [False, True])
def test_an_array(is_fortran):
    wanted = np.arange(6, dtype="<i4").reshape(2, 3)
    data = wanted.tobytes(order="F" if is_fortran else "C")
    found = array_of((1, (2, 3), dtype_of("i4"), is_fortran, data))
    np.testing.assert_array_equal(found, wanted)
    found[0, 0] = 7  # it is no view of the pickle


@pytest.mark.parametrize(
    "state",
    [
        (2, (2,), dtype_of("i4"), False, b"12345678"),
        (1, (2,), np.dtype("i4"), False, b"12345678"),
        (1, (2,), dtype_of("i4"), False, ["12345678"]),
        (1, (2,), dtype_of("i4"), False, b"1234567"),
        (1, (3,), dtype_of("i4"), False, b"12345678"),
    ],
)
def test_other_arrays_are_refused(state):
    with pytest.raises(pickle.UnpicklingError, match="ndarray of no plain numbers"):
        array_of(state)


def test_an_array_begins_empty():
    assert type(_empty_array(PickledArray, (0,), b"b")) is PickledArray


@pytest.mark.parametrize(
    "words", [(np.ndarray, (0,), b"b"), (PickledArray, (1,), b"b"), (PickledArray, (0,), b"O")]
)
def test_other_beginnings_are_refused(words):
    with pytest.raises(pickle.UnpicklingError, match="array of no plain numbers"):
        _empty_array(*words)


def test_a_history_loses_its_methods():
    history = PickledHistory()
    history.__setstate__({"statistics_methods": {"mean": "mean"}, "max_length": 3})
    assert history.state == {"max_length": 3}


@pytest.mark.parametrize(
    ("owner", "name"),
    [(PickledHistory, "__init__"), (argparse.Namespace, "mean"), (PickledHistory(), "mean")],
)
def test_other_attributes_are_refused(owner, name):
    with pytest.raises(pickle.UnpicklingError, match=r"GLOBAL builtins\.getattr of "):
        _history_statistic(owner, name)
    assert _history_statistic(PickledHistory, "mean") == "mean"


class Trusted:
    """What a process trusts elsewhere."""


def test_what_the_process_trusts_is_trusted_again_afterwards():
    with torch.serialization.safe_globals([Trusted]):
        with trusting_only():
            assert Trusted not in torch.serialization.get_safe_globals()
        assert Trusted in torch.serialization.get_safe_globals()
    assert Trusted not in torch.serialization.get_safe_globals()
