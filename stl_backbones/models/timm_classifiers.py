"""Any timm classifier, with the weights of a file or with those that timm fetches."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import timm
import torch
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from timm.models import parse_model_name
from torch import Tensor, nn

from stl_backbones.errors import InputError, UnknownNameError, did_you_mean, first_sentence
from stl_backbones.models.fetching import check_reachable
from stl_backbones.models.registration import NAMES, RELEASED
from stl_backbones.models.state_dicts import unwrapped
from stl_backbones.models.weight_values import check_storage, check_values
from stl_backbones.paths import check_file, check_folder

_HUB = "https://huggingface.co"
# What timm, torch or a registered network raise where the arguments or the weights do not fit.
_MISFITS = (RuntimeError, LookupError, AttributeError, AssertionError, ValueError, TypeError)


def check_timm_name(name: str) -> None:
    """Refuse a name that timm does not know.

    Args:
        name: A model, ``'resnet18'``, or with the tag of its weights, ``'resnet18.a1_in1k'``; or
            what brings its own weights, ``'hf-hub:timm/resnet18.a1_in1k'``, ``'local-dir:DIR'``.

    Raises:
        KeyError: If there is no such model or tag; the nearest names are offered.
        ValueError: If it names another source, or a folder that is none.
    """
    source, rest = _split_source(name)
    if source == "local-dir":
        check_file(check_folder(rest, "timm's folder") / "config.json", "timm's description")
    if source:
        return
    arch, _, tag = name.partition(".")
    tagged = timm.list_models(f"{arch}.*", pretrained=True) if timm.is_model(arch) else []
    if timm.is_model(arch) and (not tag or name in tagged):
        return
    if tagged:
        raise UnknownNameError(f"timm has no weights '{name}'; expected one of {', '.join(tagged)}")
    hint = did_you_mean(arch, timm.list_models())
    raise UnknownNameError(f"timm has no model '{name}'{hint} (timm {timm.__version__})")


def create_from_weights(
    name: str,
    weights: Mapping[str, Tensor],
    *,
    source: str,
    img_size: int | None = None,
    ema: bool = True,
) -> nn.Module:
    """Build a timm classifier with a file's weights; the file says how many classes there are.

    Args:
        name: The model, see `check_timm_name`.
        weights: Parameter name -> tensor, in timm's naming or in that of the original release, in
            any wrapping.
        source: The file, for errors.
        img_size: Side of the images; ``None`` for the network's own.
        ema: As for `stl_backbones.models.state_dicts.unwrapped`.

    Returns:
        The network in evaluation mode.

    Raises:
        KeyError: If timm has no such model.
        ValueError: If the weights do not fill it, key for key.
    """
    check_timm_name(name)
    if _split_source(name)[0]:
        raise InputError(f"'{name}' brings its own weights; leave '{source}' out")
    check_storage(weights, source)
    config = timm.get_pretrained_cfg(name)
    if config is None:
        network, bare = _fill_registered(name, weights, source=source, ema=ema)
    else:
        bare = unwrapped(weights, _landmarks(config), ema=ema)
        network = _fill(name, bare, config, source=source, img_size=img_size)
    check_values(network, bare, source)
    check_values(network, network.state_dict(), source)  # renamed ones too
    return network.eval()


def _fill(
    name: str, weights: Mapping[str, Tensor], config: Any, *, source: str, img_size: int | None
) -> nn.Module:
    classes = _rows(weights, config.classifier) or config.num_classes
    # timm drops a classifier of another size than the model's own weights have, unless asked to.
    overlay: dict[str, Any] = {"state_dict": dict(weights), "num_classes": classes}
    settings: dict[str, Any] = _size(img_size, config)
    first = weights.get(f"{_first_name(config.first_conv)}.weight")
    if first is not None and first.ndim > 1 and first.shape[1] != config.input_size[0]:
        settings["in_chans"] = first.shape[1]
        overlay["input_size"] = (first.shape[1], *config.input_size[1:])
    try:
        with _quiet():
            network = timm.create_model(
                name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=classes,
                **settings,
            )  # fmt: skip
    except TypeError as error:
        raise _no_size(name, img_size, error) from error
    except _MISFITS as error:
        raise InputError(
            f"'{source}' does not fit timm's '{name}' with {classes} classes, is it another "
            f"network's? {first_sentence(error)}"
        ) from error
    network.pretrained_cfg.pop("state_dict", None)  # else it keeps a second copy of the weights
    return network


def _fill_registered(
    name: str, weights: Mapping[str, Tensor], *, source: str, ema: bool
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Fill a network that was registered without a description of its weights."""
    network: Any = timm.create_model(name)
    own = network.state_dict()
    bare = unwrapped(weights, own.keys(), ema=ema)
    classes = getattr(network, "num_classes", None)
    rows = {
        len(value)
        for key, value in bare.items()
        if key in own and value.shape != own[key].shape and len(own[key]) == classes
    }
    try:
        if len(rows) == 1:
            network = timm.create_model(name, num_classes=rows.pop())
        network.load_state_dict(bare)
    except _MISFITS as error:
        raise InputError(f"'{source}' does not fit '{name}': {first_sentence(error)}") from error
    return network, bare


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
        ValueError: If there are no weights for it, or they cannot be fetched; the file to get by
            other means is named.
    """
    check_timm_name(name)
    source, rest = _split_source(name)
    if source:
        return _create_described(name, rest, is_remote=source == "hf-hub", img_size=img_size)
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        released = f": {RELEASED}" if name in NAMES else ""
        raise InputError(f"timm holds no weights of '{name}'; give a file with {option}{released}")
    hub_id = config.hf_hub_id
    address = f"{_HUB}/{hub_id}/resolve/main/model.safetensors" if hub_id else str(config.url)
    try:
        if not (hub_id and _is_cached(hub_id)):
            check_reachable(address)
        with _quiet():
            return timm.create_model(name, pretrained=True, **_size(img_size, config)).eval()
    except TypeError as error:
        raise _no_size(name, img_size, error) from error
    except OSError as error:  # what the hub's client and urllib raise without a network
        raise InputError(
            f"the weights of '{name}' cannot be fetched ({first_sentence(error)}); where there is "
            f"a network, download {address} and give it with {option}"
        ) from error


def _create_described(name: str, place: str, *, is_remote: bool, img_size: int | None) -> nn.Module:
    """Build what a folder, or a repository of the hub, describes and brings the weights of."""
    address = f"{_HUB}/{place.partition('@')[0]}"
    try:
        if is_remote and not _is_cached(place):
            check_reachable(address)
        with _quiet():
            network: Any = timm.create_model(name, pretrained=True)
            config = SimpleNamespace(**network.pretrained_cfg)
            if _size(img_size, config):
                network = timm.create_model(name, pretrained=True, img_size=img_size)
    except (OSError, HFValidationError) as error:
        advice = (
            f"where there is a network, `hf download {place} --local-dir DIR`, and give "
            "local-dir:DIR" if is_remote else "expected config.json and a file of weights"
        )  # fmt: skip
        raise InputError(
            f"'{name}' cannot be fetched ({first_sentence(error)}); {advice}"
        ) from error
    except (*_MISFITS, pickle.UnpicklingError, SafetensorError) as error:
        raise InputError(f"timm cannot build '{name}': {first_sentence(error)}") from error
    check_values(network, network.state_dict(), name)
    return network.eval()


def check_output(network: nn.Module, name: str, *, channels: int, size: int) -> int:
    """Run a network once on an empty image, so that one that cannot is refused before any work.

    Args:
        network: Maps ``(B, C, H, W)`` to logits ``(B, K)``, or a tuple that begins with them.
        name: Its name, for errors.
        channels: C.
        size: H and W.

    Returns:
        The number of classes K.

    Raises:
        ValueError: If it takes no images of that size, or gives something else.
    """
    device = next(network.parameters()).device
    try:
        with torch.inference_mode():
            output = network.eval()(torch.zeros(1, channels, size, size, device=device))
    except _MISFITS as error:
        raise InputError(
            f"'{name}' takes no images of {size}x{size} with {channels} channel(s): "
            f"{first_sentence(error)}; give another --input-size"
        ) from error
    logits = output[0] if isinstance(output, tuple) else output
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        shape = tuple(getattr(logits, "shape", ())) or type(logits).__name__
        raise InputError(
            f"'{name}' is no classifier: expected logits (images, classes), got {shape}"
        )
    return logits.shape[1]


def _split_source(name: str) -> tuple[str | None, str]:
    """What brings the weights, ``'hf-hub'`` or ``'local-dir'``, and where; ``None`` for timm."""
    try:
        return parse_model_name(name)
    except ValueError as error:
        raise InputError(str(error)) from error


def _size(img_size: int | None, config: Any) -> dict[str, Any]:
    """What a network that takes one size of image alone needs as an option."""
    asked = img_size is not None and config.fixed_input_size
    return {"img_size": img_size} if asked and img_size != config.input_size[-1] else {}


def _no_size(name: str, img_size: int | None, error: TypeError) -> InputError:
    return InputError(
        f"timm's '{name}' cannot be built for images of {img_size}: {first_sentence(error)}"
    )


def _first_name(names: Any) -> str:
    """A module's name in timm's description, where there may be several, or none."""
    return names if isinstance(names, str) else (names or ("",))[0]


def _landmarks(config: Any) -> tuple[str, ...]:
    """Names of weights by which a network's place in a file is known."""
    modules = map(_first_name, (config.first_conv, config.classifier))
    return tuple(f"{module}.weight" for module in modules if module)


def _rows(weights: Mapping[str, Tensor], classifier: Any) -> int:
    """Rows of the file's classifier, 0 if it is not found under timm's name."""
    weight = weights.get(f"{_first_name(classifier)}.weight")
    return 0 if weight is None else len(weight)


def _is_cached(hub_id: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    names = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(hub_id, name), str) for name in names)


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


__all__ = ["check_output", "check_timm_name", "create_from_weights", "create_pretrained"]
