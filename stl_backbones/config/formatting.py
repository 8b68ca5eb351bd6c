"""The text of a config, which mmengine formats anew for its log, its files and each checkpoint."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

_MOST = 8  # texts kept
_format: Any = Config.pretty_text.fget
_texts: dict[str, str] = {}  # as it is -> formatted by yapf


def format_once() -> None:
    """Have yapf format a config once: a detector's takes a second, each time it is written."""
    Config.pretty_text = property(_pretty_text)


def _pretty_text(config: Config) -> str:
    is_formatted = config._format_python_code
    object.__setattr__(config, "_format_python_code", False)  # else it is a setting of the config
    try:
        text = _format(config)
    finally:
        object.__setattr__(config, "_format_python_code", is_formatted)
    if not is_formatted:
        return str(text)
    if text not in _texts:
        while len(_texts) >= _MOST:
            del _texts[next(iter(_texts))]
        _texts[text] = _format(config)
    return _texts[text]


__all__ = ["format_once"]
