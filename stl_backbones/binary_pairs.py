"""Installed packages whose compiled parts do not fit each other, and the command that mends them.

pip installs such pairs: a torchvision for CUDA beside a torch for CPUs, an extension that was
compiled for another torch or NumPy. They fail when they are imported, by errors of the linker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from stl_backbones.errors import MissingPackageError, UserError

_TORCHVISION = re.compile(
    r"operator torchvision::\w+ does not exist|Couldn't load custom C\+\+ ops|"
    r"PyTorch and torchvision were compiled with different"
)
_SYMBOL = re.compile(r"undefined symbol|cannot open shared object file")
_NUMPY = re.compile(
    r"numpy\.dtype size changed|compiled using NumPy 1\.x|_ARRAY_API not found|"
    r"numpy\.core\.multiarray failed to import"
)
_SITE = re.compile(r"(?:site|dist)-packages/([\w.-]+)/")
_BY_PIP = "pip install --force-reinstall --no-deps"


def explain_mismatch(error: BaseException) -> MissingPackageError | None:
    """The error to report where compiled packages do not fit each other.

    Args:
        error: What an import or a first call raised.

    Returns:
        One line with the command that mends it; ``None`` for any other error.
    """
    for link in _chain(error):
        text = " ".join(str(link).split())
        if isinstance(link, UserError) or not isinstance(
            link, ImportError | OSError | RuntimeError | ValueError | AttributeError
        ):
            continue
        if _TORCHVISION.search(text):
            return MissingPackageError(_torchvision(text))
        if _NUMPY.search(text) and (name := _package(link, text, besides="numpy")):
            return MissingPackageError(
                f"{_named(name)} was compiled for another NumPy than {_version('numpy')}: "
                f"{_BY_PIP} --upgrade {name}, or pip install 'numpy<2'"
            )
        if isinstance(link, ImportError | OSError) and _SYMBOL.search(text):
            name = _package(link, text)
            if name == "torchvision":
                return MissingPackageError(_torchvision(text))
            if name:
                return MissingPackageError(_compiled_for_another(name, text))
    return None


def _torchvision(text: str) -> str:
    torch = _version("torch")
    release, _, build = torch.partition("+")
    numbers = release.split(".")
    # The two are released together: torch 2.4 with torchvision 0.19, and so on.
    fits = f"'torchvision==0.{int(numbers[1]) + 15}.*'" if numbers[0] == "2" else "torchvision"
    index = f" --index-url https://download.pytorch.org/whl/{build}" if build else ""
    return (
        f"torchvision {_version('torchvision')} does not fit torch {torch} ({text[:80]}): expected "
        f"a pair of one release and build: {_BY_PIP} {fits}{index}"
    )


def _compiled_for_another(name: str, text: str) -> str:
    compiled = f" --no-cache-dir --no-binary {name} --no-build-isolation" if "mmcv" in name else ""
    fault = text.rpartition(": ")[2][:80]
    return (
        f"{_named(name)} was compiled for another version of what it links to, torch "
        f"{_version('torch')} perhaps ({fault}): {_BY_PIP}{compiled} {name}"
    )


def _package(error: BaseException, text: str, *, besides: str = "") -> str | None:
    """The distribution whose file does not load: named in the text, or the deepest that ran."""
    named = _SITE.findall(text)
    step = error.__traceback__
    while step is not None:
        named += _SITE.findall(Path(step.tb_frame.f_code.co_filename).as_posix())
        step = step.tb_next
    found = [name for name in named if name not in ("", besides)]
    if not found:
        return None
    module = (found[0] if _SITE.search(text) else found[-1]).partition(".")[0]
    return next(iter(packages_distributions().get(module, ())), module)


def _named(name: str) -> str:
    return f"{name} {_version(name)}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


__all__ = ["explain_mismatch"]
