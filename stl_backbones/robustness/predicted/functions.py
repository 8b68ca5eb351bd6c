"""A function, or an object with ``predict``, as a model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from stl_backbones.robustness.predicted.given import Given
from stl_backbones.robustness.predictor import (
    UNVERIFIED,
    Model,
    Predictor,
    text_of,
    text_sha256,
)

_LOGGER = logging.getLogger(__name__)


def predictor_model(predictor: Predictor | Callable[..., Any], given: Given) -> Model:
    """Wrap what follows the contract.

    Args:
        predictor: An object with ``predict``, or such a function itself. ``classes``, ``version``
            and ``name`` of an object are taken where the user says nothing.
        given: What the user says.
    """
    predict = predictor.predict if isinstance(predictor, Predictor) else predictor
    name = given.name or _stated(predictor, "name") or _name_of(predictor)
    version = given.version or _stated(predictor, "version")
    classes = given.classes or getattr(predictor, "classes", None)
    code = predictor if hasattr(predictor, "__qualname__") else type(predictor)
    if not version:
        _LOGGER.warning("%s", UNVERIFIED)
    return Model(
        name=name,
        infer=predict,
        classes=None if classes is None else tuple(map(str, classes)),
        weights_sha256=text_sha256(f"{_name_of(predictor)} {version or text_of(code)}"),
        settings={"version": version},
        notes=() if version else (UNVERIFIED,),
    )


def _stated(predictor: Any, field: str) -> str | None:
    value = getattr(predictor, field, None)
    return value if isinstance(value, str) and value else None


def _name_of(predictor: Any) -> str:
    return str(getattr(predictor, "__name__", type(predictor).__name__))


__all__ = ["predictor_model"]
