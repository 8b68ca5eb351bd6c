"""Means over corruptions of one's own choice, under their own name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from stl_backbones.corruptions.catalog import CORRUPTIONS
from stl_backbones.corruptions.protocols import RESERVED_NAMES, Protocol
from stl_backbones.errors import InputError
from stl_backbones.report.read.runs import Run

MEASURED = "measured"  # the mean that stands in for an average with missing cells
_FORM = re.compile(r"\s*([\w.-]+)\s*=\s*(.+)")


def parse_means(texts: Sequence[str], protocol: Protocol) -> dict[str, tuple[str, ...]]:
    """Read ``NAME=CORRUPTION,...``.

    Args:
        texts: They.
        protocol: What the corruptions, or groups, are of.

    Returns:
        Name -> corruptions, in the protocol's order.

    Raises:
        ValueError: If the form is another one, or the name is another number's.
        KeyError: If the protocol has no such corruption or group.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        match = _FORM.fullmatch(text)
        if match is None:
            raise InputError(
                "--mean takes NAME=CORRUPTION,CORRUPTION,..., for example "
                f"'winter=snow,frost'; got '{text}'"
            )
        name, members = match.groups()
        taken = (*RESERVED_NAMES, *CORRUPTIONS, *protocol.corruptions, MEASURED, *found)
        if name.lower() in map(str.lower, taken):
            raise InputError(f"--mean {name}: another number has this name; choose another one")
        found[name] = protocol.choose([one.strip() for one in members.split(",")])
    return found


def mean_of_measured(runs: Sequence[Run], protocol: Protocol) -> Mapping[str, tuple[str, ...]]:
    """The mean over the corruptions that all models have whole, where some lack some."""
    missing = {cell.corruption for run in runs if run.swept for cell in run.missing(protocol)}
    whole = tuple(name for name in protocol.corruptions if name not in missing)
    return {MEASURED: whole} if whole and len(whole) < len(protocol.corruptions) else {}
