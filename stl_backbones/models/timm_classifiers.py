"""Any timm classifier, with the weights of a file or with those that timm fetches."""

from __future__ import annotations

import logging
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import timm
from torch import Tensor, nn

from stl_backbones.errors import InputError, UnknownNameError, did_you_mean
from stl_backbones.models.weight_values import check_storage, check_values

_WRAPPERS = ("", "module.", "backbone.")  # what may stand before a classifier's key in a file
_HUB = "https://huggingface.co"


def check_timm_name(name: str) -> None:
    """Refuse a name that timm does not know.

    Args:
        name: A model, ``'resnet18'``, or with the tag of its weights, ``'resnet18.a1_in1k'``.

    Raises:
        KeyError: If there is no such model or tag; the nearest names are offered.
    """
    arch, _, tag = name.partition(".")
    tagged = timm.list_models(f"{arch}.*", pretrained=True) if timm.is_model(arch) else []
    if timm.is_model(arch) and (not tag or name in tagged):
        return
    if tagged:
        raise UnknownNameError(f"timm has no weights '{name}'; expected one of {', '.join(tagged)}")
    hint = did_you_mean(arch, timm.list_models())
    raise UnknownNameError(f"timm has no model '{name}'{hint} (timm {timm.__version__})")


def create_from_weights(
    name: str, weights: Mapping[str, Tensor], *, source: str, img_size: int | None = None
) -> nn.Module:
    """Build a timm classifier with a file's weights; the file says how many classes there are.

    Args:
        name: The model, see `check_timm_name`.
        weights: Parameter name -> tensor, in timm's naming or in that of the original release.
        source: The file, for errors.
        img_size: Side of the images; ``None`` for the network's own.

    Returns:
        The network in evaluation mode.

    Raises:
        KeyError: If timm has no such model.
        ValueError: If the weights do not fill it, key for key.
    """
    check_timm_name(name)
    check_storage(weights, source)
    config = timm.get_pretrained_cfg(name)
    classes = _count_classes(weights, config.classifier) or config.num_classes
    # timm drops a classifier of another size than the model's own weights have, unless told so.
    overlay = {"state_dict": dict(weights), "num_classes": classes}
    try:
        with _quiet():
            network = timm.create_model(
                name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=classes,
                **_size(img_size, config),
            )  # fmt: skip
    except (RuntimeError, KeyError, AttributeError) as error:
        raise InputError(
            f"'{source}' does not fit timm's '{name}' with {classes} classes: {_first(error)}"
        ) from error
    except TypeError as error:
        raise _no_size(name, img_size, error) from error
    network.pretrained_cfg.pop("state_dict", None)  # else it keeps a second copy of the weights
    for prefix in _WRAPPERS:
        bare = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        check_values(network, bare, source)
    check_values(network, network.state_dict(), source)  # renamed ones too
    return network.eval()


def create_pretrained(
    name: str, *, img_size: int | None = None, option: str = "--checkpoint FILE"
) -> nn.Module:
    """Build a timm classifier with the weights that timm fetches, or has fetched before.

    Args:
        name: The model, see `check_timm_name`.
        img_size: As for `create_from_weights`.
        option: How the user gives a file instead, for errors.

    Raises:
        KeyError: If timm has no such model.
        ValueError: If there are no weights for it.
        OSError: If they cannot be fetched; the file to get by other means is named.
    """
    check_timm_name(name)
    config = timm.get_pretrained_cfg(name)
    if not config.has_weights:
        raise InputError(f"timm holds no weights of '{name}'; give a file with {option}")
    hub_id = config.hf_hub_id
    address = f"{_HUB}/{hub_id}/resolve/main/model.safetensors" if hub_id else str(config.url)
    try:
        if not (hub_id and _is_cached(hub_id)):
            _check_reachable(address)
        with _quiet():
            return timm.create_model(name, pretrained=True, **_size(img_size, config)).eval()
    except TypeError as error:
        raise _no_size(name, img_size, error) from error
    except OSError as error:  # what the hub's client and urllib raise without a network
        raise OSError(
            f"the weights of '{name}' cannot be fetched ({_first(error)}); where there is a "
            f"network, download {address} and give it with {option}"
        ) from error


def _size(img_size: int | None, config: Any) -> dict[str, Any]:
    """What a network that takes one size of image alone must be told."""
    asked = img_size is not None and config.fixed_input_size
    return {"img_size": img_size} if asked and img_size != config.input_size[-1] else {}


def _no_size(name: str, img_size: int | None, error: TypeError) -> InputError:
    return InputError(f"timm's '{name}' cannot be built for images of {img_size}: {_first(error)}")


def _count_classes(weights: Mapping[str, Tensor], classifier: Any) -> int:
    """Rows of the file's classifier, 0 if it is not found under timm's name."""
    name = classifier if isinstance(classifier, str) else (classifier or ("",))[0]
    for prefix in _WRAPPERS:
        weight = weights.get(f"{prefix}{name}.weight")
        if weight is not None:
            return len(weight)
    return 0


def _first(error: BaseException) -> str:
    """The first sentence of torch's or the hub's long message that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[1] if len(lines) > 1 and lines[0].startswith("Error(s) in loading") else lines[0]
    return told if len(told) <= 200 else f"{told[:197]}..."


def _is_cached(hub_id: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    names = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(hub_id, name), str) for name in names)


def _check_reachable(address: str) -> None:
    """Fail at once without a network: the hub's client tries for most of a minute."""
    if not urllib.request.getproxies():
        socket.getaddrinfo(urllib.parse.urlsplit(address).hostname, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the hub's remarks on each try off the terminal; the error says enough."""
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "timm")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


__all__ = ["check_timm_name", "create_from_weights", "create_pretrained"]
