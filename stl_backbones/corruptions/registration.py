"""How users add corruptions and protocols of their own: see docs/how-to/own_corruption.md."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from stl_backbones.corruptions.catalog import (
    CORRUPTIONS,
    CUSTOM_CORRUPTIONS,
    GROUPS,
    Corrupt,
    CustomCorruption,
    check_corruption,
    check_severity,
)
from stl_backbones.corruptions.packaged import PACKAGED
from stl_backbones.corruptions.protocols import (
    CUSTOM_PROTOCOLS,
    PROTOCOLS,
    RESERVED_NAMES,
    Protocol,
)
from stl_backbones.errors import InputError
from stl_backbones.paths import check_file

_REFUSED = (ValueError, KeyError, OSError)  # what a module registers, reported as it is
_IMPORTED: dict[str, None] = {}  # modules of the user's, in order


def register_corruption(name: str, *, group: str, version: str) -> Callable[[Corrupt], Corrupt]:
    """Register a function as a corruption, for every tool, table and manifest.

    The function is ``(image, severity, rng) -> image``: images ``(H, W, 3)`` uint8 RGB, severity 1
    (weakest) to 5, ``rng`` a ``numpy.random.Generator`` seeded from (image id, corruption,
    severity, seed), which must be its only source of randomness.

    Args:
        name: Lower case letters, digits and ``_``; not the name of another corruption.
        group: Its group, for example ``'weather'``.
        version: Change it with the function: numbers of two versions do not share a table.

    Returns:
        A decorator that returns the function as it is.

    Raises:
        ValueError: If name, group, version or function do not fit, or the name is taken by another
            function. The same function again, of a module loaded twice, replaces itself.
    """
    _check_name("corruption name", name, extra="_")  # a folder; `<name>-<severity>` is a cell
    _check_name("corruption group", group, extra="_")
    if name in CORRUPTIONS or name in PACKAGED:
        raise InputError(f"'{name}' is built in; choose another name for your corruption")
    _check_free("corruption name", name, also=GROUPS)
    _check_free("corruption group", group)
    if not isinstance(version, str) or not version.isprintable() or not version.strip():
        raise InputError(f"corruption '{name}': version must be a text like '1', got {version!r}")

    def register(function: Corrupt) -> Corrupt:
        _check_function(name, function)
        known = CUSTOM_CORRUPTIONS.get(name)
        if known is not None and not _is_same(known.function, function):
            raise InputError(
                f"corruption '{name}' is registered twice: by {_described(known.function)} and by "
                f"{_described(function)}; choose another name for one of them"
            )
        CUSTOM_CORRUPTIONS[name] = CustomCorruption(name, group, version, function)
        return function

    return register


def register_protocol(protocol: Protocol) -> Protocol:
    """Register a protocol, for every tool, table and manifest.

    Args:
        protocol: Its corruptions must be built in, or registered before.

    Returns:
        The protocol.

    Raises:
        ValueError: If its name, columns or severities do not fit, or the name is taken by a
            protocol that is not equal.
        KeyError: If a corruption is unknown.
    """
    _check_name("protocol name", protocol.name, extra="_-")
    if protocol.name in PROTOCOLS:
        raise InputError(f"'{protocol.name}' is built in; choose another name for your protocol")
    _check_free("protocol name", protocol.name)
    _check_columns(protocol)
    _check_severities(protocol)
    known = CUSTOM_PROTOCOLS.get(protocol.name, protocol)
    if known != protocol:
        raise InputError(
            f"protocol '{protocol.name}' is registered twice and differs: by '{known.source}' "
            f"({len(known.cells()) - 1} cells) and by '{protocol.source}' "
            f"({len(protocol.cells()) - 1} cells); choose another name for one of them"
        )
    CUSTOM_PROTOCOLS[protocol.name] = protocol
    return protocol


def import_modules(names: Sequence[str]) -> None:
    """Import the modules that register corruptions and protocols, as ``--custom-imports`` does.

    Args:
        names: Dotted names, found on ``PYTHONPATH``, or paths of ``.py`` files.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If there is no such module, its name is another module's, it cannot be
            imported, or what it registers is refused.
        KeyError: If it registers a protocol of unknown corruptions.
    """
    for name in names:
        is_file = name.endswith(".py") or "/" in name
        try:
            _import_file(Path(name)) if is_file else importlib.import_module(name)
            remember_import(str(Path(name).resolve()) if is_file else name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise InputError(f"module '{name}' cannot be imported: {error}") from error
            raise InputError(
                f"there is no module '{name}' to import; put its folder on PYTHONPATH, or give the "
                "path of its .py file"
            ) from error
        except _REFUSED:
            raise
        except (Exception, SystemExit) as error:  # the user's code may do anything
            raise InputError(
                f"module '{name}' cannot be imported: {type(error).__name__}: {error}"
            ) from error


def remember_import(name: str) -> None:
    """Keep a module that was imported because the user named it, for `imported_modules`."""
    _IMPORTED[name] = None


def imported_modules() -> tuple[str, ...]:
    """The user's modules so far; a process that is started anew imports them first."""
    return tuple(_IMPORTED)


def _import_file(path: Path) -> None:
    check_file(path, "module file")
    name = path.stem
    if not name.isidentifier():
        raise InputError(f"'{path}' cannot be imported: '{name}' is no module name")
    known = importlib.util.find_spec(name)
    if known is not None and known.origin is not None:  # a folder of that name has no origin
        if Path(known.origin).resolve() != path.resolve():
            raise InputError(f"'{path}' has the name of another module, {known.origin}; rename it")
        importlib.import_module(name)
        return
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise InputError(f"'{path}' is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # as Python does: half a module is none
        raise


def _check_name(what: str, name: str, *, extra: str) -> None:
    if not isinstance(name, str) or not re.fullmatch(rf"[a-z][a-z0-9{extra}]*", name):
        raise InputError(
            f"{what} must be lower case letters, digits and '{extra}', a letter first, got {name!r}"
        )


def _check_free(what: str, name: str, *, also: Container[str] = ()) -> None:
    """Refuse what reports and ``--corruptions`` use for something else."""
    if name in RESERVED_NAMES or name in also:
        raise InputError(
            f"{what} '{name}' is reserved: reports use it for another number; choose another name"
        )


def _check_function(name: str, function: Corrupt) -> None:
    try:
        inspect.signature(function).bind("image", "severity", "rng")
    except TypeError as error:
        raise InputError(
            f"corruption '{name}' must be a function (image, severity, rng), "
            f"got {function!r}: {error}"
        ) from error


def _check_columns(protocol: Protocol) -> None:
    if not protocol.columns:
        raise InputError(f"protocol '{protocol.name}' has no columns")
    for group, names in protocol.columns.items():
        _check_free(f"protocol '{protocol.name}': group", group)
        if re.search(r"[/:=]|^$", group):
            raise InputError(
                f"protocol '{protocol.name}': a group needs a name without '/', ':' and '=', "
                f"got '{group}'"
            )
        if not names:
            raise InputError(f"protocol '{protocol.name}': group '{group}' has no corruption")
        for name in names:
            check_corruption(name)
    repeated = [name for name, count in Counter(protocol.corruptions).items() if count > 1]
    if repeated:
        raise InputError(f"protocol '{protocol.name}' has {', '.join(repeated)} more than once")


def _check_severities(protocol: Protocol) -> None:
    for name, levels in protocol.severities.items():
        if name not in protocol.corruptions:
            raise InputError(
                f"protocol '{protocol.name}' has severities of '{name}', which is in no column"
            )
        if not levels or len(set(levels)) < len(levels):
            raise InputError(
                f"protocol '{protocol.name}': severities of '{name}' must be different and at "
                f"least one, got {list(levels)}"
            )
        for level in levels:
            check_severity(level)


def _is_same(one: Corrupt, other: Corrupt) -> bool:
    """Whether both are one function of a module that was loaded twice, by name and path perhaps."""
    same_name = _qualified_name(one) == _qualified_name(other)
    return same_name and (one.__module__ == other.__module__ or _file(one) == _file(other))


def _described(function: Corrupt) -> str:
    return f"{_qualified_name(function)} in '{_file(function)}'"


def _qualified_name(function: Corrupt) -> str:
    return str(getattr(function, "__qualname__", repr(function)))


def _file(function: Corrupt) -> str:
    code = getattr(function, "__code__", None)
    return function.__module__ if code is None else str(Path(code.co_filename).resolve())
