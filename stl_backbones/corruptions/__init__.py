"""Corruptions: uint8 RGB images in, uint8 RGB images out, the same bytes for the same key."""

from stl_backbones.corruptions.catalog import (
    CORRUPTIONS,
    GROUPS,
    PROTOCOLS,
    SEVERITIES,
    Protocol,
    check_corruption,
    check_severity,
    get_protocol,
)
from stl_backbones.corruptions.engine import (
    CHANNEL_ORDERS,
    MIN_SIDE,
    MODES,
    check_engine,
    corrupt,
    draw_seed,
    engine_version,
)

__all__ = [
    "CHANNEL_ORDERS",
    "CORRUPTIONS",
    "GROUPS",
    "MIN_SIDE",
    "MODES",
    "PROTOCOLS",
    "SEVERITIES",
    "Protocol",
    "check_corruption",
    "check_engine",
    "check_severity",
    "corrupt",
    "draw_seed",
    "engine_version",
    "get_protocol",
]
