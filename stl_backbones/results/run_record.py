"""The text of a sweep's ``run.json``: its provenance, and a hash of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stl_backbones.plain_files import parse_json
from stl_backbones.records import Provenance
from stl_backbones.results.cell_file import (
    DamagedCellError,
    NewerFormatError,
    check_format,
    format_of,
    hash_of,
)

_FORMAT, _DIGEST = "format", "digest"


def encode_run(provenance: Provenance) -> bytes:
    """A provenance as readable JSON."""
    plain = {**provenance.to_dict(), _FORMAT: format_of(provenance)}
    text = json.dumps({**plain, _DIGEST: _digest(plain)}, indent=2, sort_keys=True)
    return f"{text}\n".encode()


def decode_run(path: Path) -> Provenance:
    """Read a sweep's record; one from before format 2 has no hash.

    Raises:
        DamagedCellError: If it is not what was written.
        NewerFormatError: If a newer version wrote it.
    """
    try:
        plain = parse_json(path.read_bytes())
        if _FORMAT in plain or _DIGEST in plain:
            digest = plain.pop(_DIGEST, None)
            check_format(plain.get(_FORMAT), path)
            if digest != _digest(plain):
                raise DamagedCellError(
                    f"'{path}' was altered after it was written; run the sweep again, which writes "
                    "it anew and keeps the cells that fit"
                )
            del plain[_FORMAT]
        return Provenance.from_dict(plain)
    except (DamagedCellError, NewerFormatError):
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedCellError(
            f"'{path}' cannot be read ({error}); run the sweep again, which writes it anew and "
            "keeps the cells that fit"
        ) from error


def _digest(plain: dict[str, Any]) -> str:
    return hash_of(json.dumps(plain, sort_keys=True).encode())
