"""Configs by name, those of mmseg, mmdet and this package: ``mmdet::detr/detr_r50_8xb2-150e_coco``.

mmengine looks a library up by the name of its release on PyPI, which differs between its makers;
here the library's own folder is asked, so every release will do.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.fileio import load

from stl_backbones.errors import InputError, MissingFileError, did_you_mean
from stl_backbones.models.mm_presets import MM_PRESETS

OWN = "stl_backbones"
LIBRARIES = (OWN, "mmseg", "mmdet")
BASE = "_base_"  # folders of parts, which are no configs by themselves
_LOOKED_AT = 2000  # files
_METAFILES = ("metafile.yml", "metafile.yaml")


@dataclass(frozen=True)
class Release:
    """What a library says of a config of its own.

    Attributes:
        weights: The address of its trained weights; ``None`` if none were released.
        scores: Metric -> value, as the library writes them: ``{'box AP': 37.4}``.
    """

    weights: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


def config_file(config: str | Path) -> Path:
    """The file of a config: a path as it is, or the packaged file of a ``library::name``.

    Args:
        config: A path, or ``stl_backbones::``, ``mmseg::`` or ``mmdet::`` and the file's place in
            the ``configs`` folder there, with or without ``.py``.

    Raises:
        FileNotFoundError: If the library holds no such config.
        ValueError: If it is another library, or it is not installed.
    """
    library, separator, name = str(config).partition("::")
    if not separator:
        return Path(config)
    if library not in LIBRARIES:
        raise InputError(
            f"config '{config}': expected a library of {', '.join(LIBRARIES)} before '::', "
            f"got '{library}'"
        )
    folder = _configs_folder(library)
    path = folder / f"{name.removesuffix('.py')}.py"
    if not path.is_file():
        names = [f"{library}::{other}" for other in _names(library)]
        hint = did_you_mean(name, names, by=_stem) or f"; they are in '{folder}'"
        raise MissingFileError(f"{library} has no config '{name}'{hint}")
    return path


@contextmanager
def packaged_bases() -> Iterator[None]:
    """Make ``_base_ = 'mmseg::...'`` and its like work in configs read meanwhile."""
    before = Config.__dict__["_get_cfg_path"]

    def find(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if not isinstance(cfg_path, str):
            raise InputError(f"_base_ must be a path or a list of paths, got {cfg_path!r}")
        library, separator, _ = cfg_path.partition("::")
        if separator and library in LIBRARIES:
            # The scope of a library's registries; ours are the root ones.
            return str(config_file(cfg_path)), None if library == OWN else library
        try:
            return before.__func__(cfg_path, filename)
        except (ValueError, KeyError, ImportError) as error:
            raise InputError(
                f"_base_ '{cfg_path}': expected a path, or {' or '.join(LIBRARIES)} and '::'"
            ) from error

    Config._get_cfg_path = staticmethod(find)
    try:
        yield
    finally:
        Config._get_cfg_path = before


def find_release(config: str) -> Release:
    """What the library released for a packaged config, by the metafile beside it.

    Raises:
        FileNotFoundError: If the library holds no such config.
        ValueError: If it is another library.
    """
    path = config_file(config)
    for name in _METAFILES:
        if not (path.parent / name).is_file():
            continue
        content = load(path.parent / name)
        models = content.get("Models", []) if isinstance(content, Mapping) else content
        for model in models:
            if Path(model.get("Config", "")).name == path.name:
                return Release(model.get("Weights"), _scores(model.get("Results")))
    return Release()


def mm_preset_lines() -> str:
    """Lines on each preset: its row in the paper, config, scores, and where its weights are."""
    lines = []
    for preset in MM_PRESETS.values():
        release = find_release(preset.config)
        score = release.scores.get(preset.metric)
        theirs = "" if score is None else f", {score:.1f} of the released weights"
        lines += [
            f"{preset.name:<20} Table {preset.table}, {preset.title}: {preset.metric} "
            f"{preset.paper_score:.1f} in the paper{theirs}",
            f"{'':<20} {preset.config}",
            f"{'':<20} {release.weights or 'weights to be trained'}",
        ]
        if preset.note:
            lines.append(f"{'':<20} {preset.note}")
        if preset.training:
            lines.append(f"{'':<20} by the row's recipe: {preset.training}")
    return "\n".join(lines)


@cache
def _configs_folder(library: str) -> Path:
    spec = importlib.util.find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"'{library}::...' needs {library}, which is not installed")
    package = Path(next(iter(spec.submodule_search_locations)))
    # A wheel carries the configs along; an editable install has them beside the package.
    folders = (package / ".mim/configs", package.parent / "configs")
    found = next((folder for folder in folders if (folder / "_base_").is_dir()), None)
    if found is None:
        raise InputError(f"the installed {library} carries no configs: expected '{folders[0]}'")
    return found


@cache
def _names(library: str) -> tuple[str, ...]:
    folder = _configs_folder(library)
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))
    return tuple(sorted(name for name in found if BASE not in name))


def near_files(path: Path) -> str:
    """The nearest config files to one that is not there, as a hint; empty if none is near.

    Looked for below the deepest folder of the path that exists, or else in ``configs``.
    """
    folder = next((parent for parent in path.parents if parent.is_dir()), Path())
    if folder in (Path(), Path("/")):
        folder = Path("configs")
    found = (other for other in folder.rglob(f"*{path.suffix or '.py'}") if BASE not in str(other))
    near = did_you_mean(str(path), sorted(itertools.islice(found, _LOOKED_AT)), by=_stem)
    return near.removeprefix("; ")


def _stem(path: str) -> str:
    return Path(path).name.removesuffix(".py")


def _scores(results: Any) -> dict[str, float]:
    """Flatten the metrics of one task or of several."""
    tasks = results if isinstance(results, list) else [results or {}]
    metrics = [task.get("Metrics") or {} for task in tasks]
    return {
        name: float(value)
        for found in metrics
        for name, value in found.items()
        if isinstance(value, int | float)
    }


__all__ = [
    "LIBRARIES",
    "Release",
    "config_file",
    "find_release",
    "mm_preset_lines",
    "near_files",
    "packaged_bases",
]
