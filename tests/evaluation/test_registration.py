"""What a config names in ``custom_imports`` brings the metrics."""

import importlib
from unittest import mock

import stl_backbones.evaluation


def test_the_package_imports_what_registers_metrics():
    with mock.patch("importlib.import_module") as imported:
        importlib.reload(stl_backbones.evaluation)
    assert [call.args[0] for call in imported.call_args_list] == [
        "stl_backbones.evaluation.classification", "stl_backbones.evaluation.segmentation"
    ]  # fmt: skip
