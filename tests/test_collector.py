"""The collector runs rarely while a command starts, as usual after it."""

import gc
import weakref

import pytest
from mmengine.config import Config

from stl_backbones.cli.robustness import prepared
from stl_backbones.cli.robustness_options import make_robustness_parser
from stl_backbones.cli.tool import make_parser, run_tool
from stl_backbones.collector import collect_as_usual, collecting_rarely
from stl_backbones.training.runs import prepare_run


class Node:
    """Of a cycle."""


def in_a_cycle():
    node = Node()
    node.itself = node
    return weakref.ref(node)


@pytest.fixture
def usual():
    gc.unfreeze()
    before = gc.get_threshold()
    yield before
    gc.unfreeze()
    gc.set_threshold(*before)


def test_cycles_made_after_the_start_are_freed_in_time(usual):
    with collecting_rarely():
        assert gc.get_threshold()[0] > usual[0]
        collect_as_usual()
        assert gc.get_threshold() == usual
        assert gc.get_freeze_count() > 0
        seen = in_a_cycle()
        kept = [[] for _ in range(10 * usual[0])]
        assert seen() is None, len(kept)


def test_a_command_starts_with_few_collections(usual):
    seen = []
    assert run_tool(make_parser(""), lambda _: seen.append(gc.get_threshold()), []) == 0
    assert seen[0][0] > usual[0]
    assert gc.get_threshold() == usual


def test_networks_run_with_the_usual_ones(usual, tmp_path):
    with collecting_rarely():
        words = ["--timm", "resnet10t", "--data-root", str(tmp_path)]
        prepared(make_robustness_parser("").parse_args(words))
        assert gc.get_threshold() == usual
    with collecting_rarely():
        prepare_run(Config({}), "own.py", work_dir=tmp_path, launcher="none", uses=())
        assert gc.get_threshold() == usual


def test_an_error_leaves_the_collector_as_it_was(usual):
    with pytest.raises(ValueError, match="bad"), collecting_rarely():
        raise ValueError("bad")
    assert gc.get_threshold() == usual


def test_what_a_user_has_set_stays(usual):
    gc.set_threshold(5000, 10, 10)
    with collecting_rarely():
        assert gc.get_threshold() == (5000, 10, 10)
    assert gc.get_threshold() == (5000, 10, 10)
    assert gc.get_freeze_count() == 0
