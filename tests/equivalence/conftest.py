"""Configs import the parts beside this file as a user's own modules; mmengine does less aside."""

import sys
from pathlib import Path
from unittest import mock

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="module")
def _no_side_work():
    """Runs neither format and dump their configs nor describe the machine: half of the time.

    By module, so that it ends with this folder.
    """
    with (
        mock.patch.object(Config, "pretty_text", ""),
        mock.patch.object(Runner, "_log_env"),
        mock.patch("mmengine.dataset.base_dataset.gc"),
    ):
        yield
