"""Waiting OpenMP threads sleep, in every tool and in what it starts, unless the user chose."""

import json
import os
import subprocess
import sys

import pytest

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# libgomp prints the policy that it has read when torch loads it.
IN_A_CHILD = (
    "import stl_backbones.cli.tool, subprocess, sys\n"
    "subprocess.run([sys.executable, '-c', 'import torch'], check=True)\n"
)
HERE = "import stl_backbones.cli.tool\nimport torch\n"
ALL_TOOLS = """
import importlib, json, os, sys
from stl_backbones.cli.started import COMMANDS
for module in COMMANDS.values():
    importlib.import_module(f"stl_backbones.cli.commands.{module}")
print(json.dumps(["torch" in sys.modules, os.environ["OMP_WAIT_POLICY"]]))
"""


@pytest.fixture
def run_python(repo_root):
    def run(code, **settings):
        clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        environment = {**clean, "OMP_DISPLAY_ENV": "true", **settings}
        return subprocess.run(
            [sys.executable, "-c", code], cwd=repo_root, env=environment, text=True,
            capture_output=True, check=True, timeout=120,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("code", [HERE, IN_A_CHILD], ids=["tool", "child"])
def test_openmp_reads_that_its_threads_shall_sleep(run_python, code):
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in run_python(code).stderr


def test_a_policy_of_the_users_own_stays(run_python):
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in run_python(HERE, OMP_WAIT_POLICY="ACTIVE").stderr


def test_the_library_alone_leaves_the_environment_as_it_is(run_python):
    code = f"import os, stl_backbones.models\nprint([n for n in {SETTINGS} if n in os.environ])"
    assert run_python(code).stdout == "[]\n"


def test_every_tool_sets_the_policy_before_anything_imports_torch(run_python):
    assert json.loads(run_python(ALL_TOOLS).stdout) == [False, "PASSIVE"]
