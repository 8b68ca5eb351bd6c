"""Compiled packages that do not fit each other: one line, and the command that mends them."""

import pytest

from stl_backbones import binary_pairs
from stl_backbones.binary_pairs import explain_mismatch
from stl_backbones.cli.tool import make_parser, run_tool
from stl_backbones.errors import InputError

VERSIONS = {"torch": "2.13.0+cpu", "torchvision": "0.28.0+cu126", "numpy": "2.3.1",
            "onedl-mmcv": "2.3.6", "pycocotools": "2.0.11"}  # fmt: skip
SITE = "/venv/lib/python3.11/site-packages"


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    monkeypatch.setattr(binary_pairs, "version", VERSIONS.__getitem__)
    monkeypatch.setattr(
        binary_pairs, "packages_distributions",
        lambda: {"mmcv": ["onedl-mmcv"], "pycocotools": ["pycocotools"]},
    )  # fmt: skip


def raised(error, *, by=__file__):
    """The error as code of a file raises it."""
    try:
        exec(compile("raise error", by, "exec"), {"error": error})
    except type(error) as found:
        return found


def test_a_torchvision_of_another_build(capsys):
    def tool(_):
        raise RuntimeError("operator torchvision::nms does not exist")

    assert run_tool(make_parser("x"), tool, []) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "error: torchvision 0.28.0+cu126 does not fit torch 2.13.0+cpu" in line
    assert line.endswith(
        "pip install --force-reinstall --no-deps 'torchvision==0.28.*' "
        "--index-url https://download.pytorch.org/whl/cpu"
    )


def test_an_extension_compiled_for_another_torch():
    text = f"{SITE}/mmcv/_ext.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZN3c10"
    line = str(explain_mismatch(raised(ImportError(text))))
    assert line.startswith("onedl-mmcv 2.3.6 was compiled for another version of what it links to")
    assert "--no-binary onedl-mmcv --no-build-isolation onedl-mmcv" in line


def test_an_extension_compiled_for_another_numpy():
    error = raised(
        ValueError("numpy.dtype size changed, may indicate binary incompatibility."),
        by=f"{SITE}/pycocotools/_mask.pyx",
    )
    wrapped = RuntimeError("import failed")
    wrapped.__cause__ = error
    line = str(explain_mismatch(wrapped))
    assert line.startswith("pycocotools 2.0.11 was compiled for another NumPy than 2.3.1: pip ins")


def test_other_errors_stay_what_they_are():
    for error in (
        RuntimeError("shape"), ImportError("no such name"), InputError("undefined symbol"),
        OSError("libx.so: cannot open shared object file"),
    ):  # fmt: skip
        assert explain_mismatch(raised(error)) is None
