"""A data set's corrupted copy on disk: estimated, made, resumed, described and verified."""

from stl_backbones.copies.estimate import Estimate, estimate, size_text
from stl_backbones.copies.layouts import (
    LAYOUTS,
    Found,
    Layout,
    Source,
    check_apart,
    find_sources,
    get_layout,
)
from stl_backbones.copies.manifest import ManifestHeader, Row, read_header, read_rows
from stl_backbones.copies.plan import Plan, Shard
from stl_backbones.copies.run import Outcome, Progress, make_copy
from stl_backbones.copies.survey import find_done
from stl_backbones.copies.verify import Finding, count_kinds, verify
from stl_backbones.copies.workplace import Workplace

__all__ = [
    "LAYOUTS",
    "Estimate",
    "Finding",
    "Found",
    "Layout",
    "ManifestHeader",
    "Outcome",
    "Plan",
    "Progress",
    "Row",
    "Shard",
    "Source",
    "Workplace",
    "check_apart",
    "count_kinds",
    "estimate",
    "find_done",
    "find_sources",
    "get_layout",
    "make_copy",
    "read_header",
    "read_rows",
    "size_text",
    "verify",
]
