"""Corruptions: uint8 RGB images in, uint8 RGB images out, the same bytes for the same key."""

from stl_backbones.corruptions.catalog import (
    CORRUPTIONS,
    GROUPS,
    SEVERITIES,
    CustomCorruption,
    check_corruption,
    check_depth,
    check_severity,
    custom_corruption,
    custom_versions,
)
from stl_backbones.corruptions.engine import (
    Variant,
    apply_corruption,
    check_spec,
    corrupt,
    corrupt_all,
    engine_version,
    prepare,
)
from stl_backbones.corruptions.images import MIN_SIDE
from stl_backbones.corruptions.protocols import PROTOCOLS, Protocol, get_protocol, protocol_names
from stl_backbones.corruptions.registration import (
    import_modules,
    register_corruption,
    register_protocol,
)
from stl_backbones.corruptions.seeds import draw_seed
from stl_backbones.records import CHANNEL_ORDERS, COMPATS, MODES, CorruptionEngine, CorruptionSpec

__all__ = [
    "CHANNEL_ORDERS",
    "COMPATS",
    "CORRUPTIONS",
    "GROUPS",
    "MIN_SIDE",
    "MODES",
    "PROTOCOLS",
    "SEVERITIES",
    "CorruptionEngine",
    "CorruptionSpec",
    "CustomCorruption",
    "Protocol",
    "Variant",
    "apply_corruption",
    "check_corruption",
    "check_depth",
    "check_severity",
    "check_spec",
    "corrupt",
    "corrupt_all",
    "custom_corruption",
    "custom_versions",
    "draw_seed",
    "engine_version",
    "get_protocol",
    "import_modules",
    "prepare",
    "protocol_names",
    "register_corruption",
    "register_protocol",
]
