"""The collector runs rarely while a command starts, as usual after it."""

import gc
import weakref

import pytest

from stl_backbones.collector import collect_as_usual, collect_rarely


class Node:
    """Of a cycle."""


@pytest.fixture
def usual():
    before = gc.get_threshold()
    yield before
    gc.unfreeze()
    gc.set_threshold(*before)


def test_cycles_made_after_the_start_are_freed_in_time(usual):
    collect_rarely()
    assert gc.get_threshold()[0] > usual[0]
    collect_as_usual()
    assert gc.get_threshold() == usual
    assert gc.get_freeze_count() > 0
    node = Node()
    node.itself = node
    seen = weakref.ref(node)
    del node
    gc.collect()
    assert seen() is None


def test_what_a_user_has_set_stays(usual):
    gc.set_threshold(5000, 10, 10)
    collect_rarely()
    collect_as_usual()
    assert gc.get_threshold() == (5000, 10, 10)
    assert gc.get_freeze_count() == 0
