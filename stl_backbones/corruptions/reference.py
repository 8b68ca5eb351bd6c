"""The imagecorruptions package behind one deterministic call.

The package draws from three sources: ``np.random``, numba's own generator (glass_blur) and
scikit-image's (impulse_noise). Here all three are seeded before each call, under a lock, and
``np.random`` is left as it was found. Other threads that draw from ``np.random`` meanwhile would
disturb it; none of ours do.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import threading
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.packages import require

# Both distributions install the import name `imagecorruptions`; never have both.
_FORK, _ORIGINAL = "imagecorruptions-imaug", "imagecorruptions"
_SEED_ARGUMENT = frozenset({"impulse_noise", "glass_blur"})  # the fork's `seed=` functions

_lock = threading.Lock()


@lru_cache(maxsize=1)
def package_version() -> str:
    """Implementation and version, for example ``'imagecorruptions-imaug 1.1.5'``.

    Raises:
        ImportError: If no distribution is installed.
        ValueError: If both are.
    """
    require("mode 'reference'", "imagecorruptions")
    found = []
    for name in (_FORK, _ORIGINAL):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    if len(found) != 1:
        raise InputError(
            f"expected one distribution of imagecorruptions, got {' and '.join(found) or 'none'}, "
            "which overwrite each other's files; uninstall them, then install one"
        )
    return found[0]


def corrupt_reference(
    image: npt.NDArray[np.uint8], name: str, severity: int, *, seed: int
) -> npt.NDArray[np.uint8]:
    """Corrupt one image with the installed imagecorruptions package.

    Args:
        image: ``(H, W, 3)`` uint8, H and W at least 32.
        name: A corruption of the catalog.
        severity: 1 (weakest) to 5.
        seed: 0 to 2**32 - 1; the result depends on it and the other arguments alone.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    package = _load_package()
    with _lock:
        state = np.random.get_state()  # noqa: NPY002
        try:
            np.random.seed(seed)  # noqa: NPY002  the package draws from the global generator
            # zoom_blur and snow print a line on some odd sizes.
            with contextlib.redirect_stdout(io.StringIO()):
                corrupted = _call(package, image, name, severity, seed)
        finally:
            np.random.set_state(state)  # noqa: NPY002
    return np.asarray(corrupted, dtype=np.uint8)


def _call(
    package: ModuleType, image: npt.NDArray[np.uint8], name: str, severity: int, seed: int
) -> npt.NDArray[np.uint8]:
    if package_version().startswith(_FORK):
        extra = {"seed": seed} if name in _SEED_ARGUMENT else {}
        result = package.corrupt(image, severity=severity, corruption_name=name, **extra)
    else:
        _numba_seeder()(seed)
        with _seeded_random_noise(package.corruptions, seed):
            result = package.corrupt(image, severity=severity, corruption_name=name)
    return cast("npt.NDArray[np.uint8]", result)


@lru_cache(maxsize=1)
def _load_package() -> ModuleType:
    version = package_version()
    package = importlib.import_module("imagecorruptions")
    if version.startswith(f"{_ORIGINAL} "):
        _adapt_original(package.corruptions)
    return package


def _adapt_original(corruptions: Any) -> None:
    """Let imagecorruptions 1.1.2 run with scikit-image 0.22, which dropped ``multichannel``."""
    gaussian = corruptions.gaussian

    def adapted(image: Any, *args: Any, multichannel: bool | None = None, **kwargs: Any) -> Any:
        if multichannel:
            kwargs["channel_axis"] = -1
        return gaussian(image, *args, **kwargs)

    corruptions.gaussian = adapted


@lru_cache(maxsize=1)
def _numba_seeder() -> Callable[[int], None]:
    numba = importlib.import_module("numba")

    def seed_numba(seed: int) -> None:
        np.random.seed(seed)  # noqa: NPY002  compiled: numba's generator, not numpy's

    return cast("Callable[[int], None]", numba.njit(seed_numba))


@contextlib.contextmanager
def _seeded_random_noise(corruptions: Any, seed: int) -> Any:
    """Give imagecorruptions 1.1.2's impulse_noise, which has no seed argument, a seed."""
    util = corruptions.sk.util
    random_noise = util.random_noise
    util.random_noise = lambda *args, **kwargs: random_noise(*args, rng=seed, **kwargs)
    try:
        yield
    finally:
        util.random_noise = random_noise
