"""Configs, read once and checked, with what the command line changes in them."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.utils import import_modules_from_strings

from stl_backbones.config.classes import CLASSES, NUM_CLASSES, move_classes, stated_number
from stl_backbones.config.openmmlab import use_stand_ins
from stl_backbones.config.operators import check_operators
from stl_backbones.config.options import check_types, find_changes
from stl_backbones.config.packaged import LIBRARIES, config_file, near_files, packaged_bases
from stl_backbones.config.settings import SPLITS, without_unused
from stl_backbones.config.user_code import (
    configured_library,
    describe_user_code,
    is_ours,
    reason,
)
from stl_backbones.config.values import check_values
from stl_backbones.config.variables import move_data_root, move_variables
from stl_backbones.corruptions.registration import remember_import
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.errors import InputError, UserError
from stl_backbones.paths import check_file
from stl_backbones.run_log import collect_warnings

_PRETRAINING = "mmpretrain"  # where some configs' backbones come from
_ENDINGS = (".py", ".json", ".yaml", ".yml")  # that mmengine reads


def load_config(
    path: str | Path,
    *,
    options: Mapping[str, Any] | None = None,
    data_root: str | Path | None = None,
    uses: tuple[str, ...] = SPLITS,
) -> Config:
    """Read a config and apply ``--cfg-options`` and ``--data-root``.

    An option named in the config's ``linked_options`` changes the value everywhere it is used; so
    does one of a variable, see `stl_backbones.config.variables`, and so do ``classes`` and
    ``num_classes`` in any config, see `stl_backbones.config.classes`.

    Args:
        path: The config file, or a config of mmseg or mmdet by its name,
            ``mmdet::detr/detr_r50_8xb2-150e_coco.py``; such a name may also stand in ``_base_``.
        options: Dotted name -> value.
        data_root: Where the data set lies instead.
        uses: The splits in use, of ``'train'``, ``'val'`` and ``'test'``; the loaders, loops and
            evaluators of others are not checked.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it cannot be read, or an option does not fit.
        KeyError: If an option names nothing in the config, or changes nothing.
    """
    install_safe_loaders()
    path, options = config_file(path), dict(options or {})
    for name, value in options.items():
        check_types(name, value)
    config = _read(path)
    collect_warnings(MMLogger.get_current_instance())  # which checks of data warn by
    _import_libraries(config)
    linked = config.get("linked_options") or {}
    own = {k: options[k] for k in (CLASSES, NUM_CLASSES) if k in options and k not in linked}
    before = stated_number(config)
    changes = find_changes(config, {k: value for k, value in options.items() if k not in own})
    free = {name: value for name, value in options.items() if name not in linked}
    config = move_variables(config, free, read=lambda: _read(path), uses=uses)
    _import_modules(config, path)
    if own:
        move_classes(config, own, before=before)
    try:
        config.merge_from_dict(changes)
    except (TypeError, KeyError, IndexError) as error:
        raise InputError(f"--cfg-options does not fit '{path}': {error}") from error
    if data_root is not None:
        move_data_root(config, data_root, uses=uses)
    check_values(Config(without_unused(config, uses)))
    for split in uses:
        loader = config.get(f"{split}_dataloader") or {}
        if loader.get("num_workers") == 0:
            loader["persistent_workers"] = False  # torch refuses it without workers
    return config


def _read(path: Path) -> Config:
    check_file(path, "config", hint="" if path.exists() else near_files(path))
    if path.suffix not in _ENDINGS:
        raise InputError(f"config '{path}' must be a file ending {', '.join(_ENDINGS)}")
    try:
        with without_import_notes(), packaged_bases():
            config = Config.fromfile(path, import_custom_modules=False)
    # A config is a program: whatever it raises is the config's fault.
    except RecursionError as error:
        raise InputError(
            f"config '{path}' cannot be read: it is nested too deep, or do its _base_ files go "
            "in a circle?"
        ) from error
    except SystemExit as error:
        raise InputError(f"config '{path}' cannot be read: it calls exit()") from error
    except Exception as error:
        cause = describe_user_code(error) or reason(error)
        # mmengine's stand-in for a module that cannot be imported says nothing.
        hint = "" if str(error) else "; does it use a module that is not there?"
        raise InputError(f"config '{path}' cannot be read: {cause}{hint}") from error
    for name in ("linked_options", "custom_imports"):
        if not isinstance(config.get(name, {}), Mapping | None):
            raise InputError(f"config '{path}': {name} must be a dict(...)")
    return config


@contextmanager
def building(what: str, *, fails: str = "cannot be built from the config") -> Iterator[None]:
    """Say in one line that a config does not build: unknown key, wrong type, absent package.

    Errors of the user's input pass, and so do bugs: what a line of this package raises itself.

    Args:
        what: The part that is built, ``'the model'``.
        fails: What the error says of it.

    Raises:
        ValueError: Instead of what a library, or a class of the user's own, raised.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of any class that the config names
        refuses_arguments = isinstance(error, TypeError) and "argument" in str(error)
        if getattr(error, "errno", None) or (is_ours(error) and not refuses_arguments):
            raise
        cause = describe_user_code(error) or reason(error)
        raise InputError(f"{what} {fails}: {cause}") from error


@contextmanager
def running(what: str) -> Iterator[None]:
    """Say in one line that a part of the config's own library fails while it runs.

    Errors of the user's input and of the user's own code pass, and so do bugs: what a line of this
    package raises itself or has a library raise.

    Args:
        what: What runs, ``'the test'``.

    Raises:
        ValueError: Instead of what the library raised.
    """
    try:
        yield
    except (UserError, OSError, EOFError):
        raise
    except Exception as error:  # of any part that the config names
        library = configured_library(error)
        if library is None or describe_user_code(error):
            raise
        raise InputError(
            f"{what} failed in {library}: {reason(error, named=True)}; is it a fault of the config "
            f"or of {library}? --debug shows where"
        ) from error


@contextmanager
def without_import_notes() -> Iterator[None]:
    """Pass on what a config prints, but not what mmseg prints when a paid add-on is absent."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        yield
    for line in printed.getvalue().splitlines():
        if not line.startswith("Could not import OneDL"):
            sys.stdout.write(f"{line}\n")


def _import_libraries(config: Config) -> None:
    """Try the operators of the config's library, and import what its registries import later.

    Raises:
        MissingPackageError: If mmcv's operators do not work.
    """
    scope = config.get("default_scope")
    if scope not in LIBRARIES:
        return
    check_operators(on_gpu=scope == "mmdet")  # few networks of mmseg need them on a GPU
    with without_import_notes():
        importlib.import_module(f"{scope}.datasets")


def _import_modules(config: Config, path: Path) -> None:
    """Import what ``custom_imports`` names, as mmengine does when it reads a config."""
    settings = config.get("custom_imports")
    if not settings:
        return
    if _PRETRAINING in str(settings):
        use_stand_ins(config)
    try:
        with without_import_notes():
            import_modules_from_strings(
                settings["imports"],
                allow_failed_imports=settings.get("allow_failed_imports", False),
            )
    except Exception as error:  # an import runs a module, which raises what it likes
        absent = error.__context__ if isinstance(error.__context__, ImportError) else error
        cause, advice = describe_user_code(error), ""
        if isinstance(absent, ModuleNotFoundError):
            cause, advice = str(absent), "; put the folder of a module of yours on PYTHONPATH"
            if absent.name == _PRETRAINING:
                advice = (
                    f"; pip install onedl-{_PRETRAINING}, or {_PRETRAINING} with mmcv below 2.2"
                )
        cause = cause or reason(error)
        raise InputError(f"config '{path}': custom_imports: {cause}{advice}") from error
    names = settings["imports"]
    for name in [names] if isinstance(names, str) else names or ():
        if name in sys.modules:  # else it was allowed to fail
            remember_import(name)


__all__ = ["building", "load_config", "running", "without_import_notes"]
