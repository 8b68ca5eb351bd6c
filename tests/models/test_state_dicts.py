"""The one rule by which all tools find weights in a file, and take off what wrapped them."""

import copy

import pytest
import torch
from timm.utils import ModelEmaV2
from torch import nn
from torch.optim.swa_utils import AveragedModel

from stl_backbones.errors import InputError
from stl_backbones.models import select_state_dict, unwrapped


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2))


def plus_one(network):
    more = copy.deepcopy(network)
    for value in more.state_dict().values():
        value += 1
    return more


def held(name, module):
    """The state dict of a wrapper that holds a module under a name."""
    return nn.ModuleDict({name: module}).state_dict()


WRAPPERS = {
    "torch.compile": lambda net: torch.compile(net, backend="eager").state_dict(),
    "a compiled part": lambda net: nn.Sequential(
        torch.compile(net[0], backend="eager"), *net[1:]
    ).state_dict(),
    "DataParallel": lambda net: nn.DataParallel(net).state_dict(),
    "SWA": lambda net: AveragedModel(net).state_dict(),
    "SWA of a compiled one": lambda net: AveragedModel(
        torch.compile(net, backend="eager")
    ).state_dict(),
    "timm's average": lambda net: ModelEmaV2(net).state_dict(),
    "Lightning": lambda net: held("model", net),
    "Lightning, timm_model": lambda net: held("model", nn.ModuleDict({"timm_model": net})),
    "a name of the user's own": lambda net: held("my_encoder", net),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_what_wrapped_a_network_goes(network, wrap):
    wrapped = wrap(copy.deepcopy(network))
    own = network.state_dict()
    found = unwrapped(wrapped, own.keys())
    assert list(found) == list(own)
    assert all(torch.equal(found[name], own[name]) for name in own)


@pytest.mark.parametrize(
    "wrap",
    [wrap for name, wrap in WRAPPERS.items() if name != "a name of the user's own"],
)
def test_usual_wrappers_go_where_the_networks_names_are_others(network, wrap):
    """A release's own naming, which timm turns into its own afterwards."""
    assert list(unwrapped(wrap(network), {"conv1.weight"})) == list(network.state_dict())


def test_what_lies_beside_the_network_goes(network):
    """Lightning saves a loss's or a metric's weights too."""
    module = nn.ModuleDict({"model": network, "loss": nn.Linear(2, 1)})
    own = network.state_dict()
    assert list(unwrapped(module.state_dict(), own.keys())) == list(own)


@pytest.mark.parametrize("ema", [True, False])
def test_of_two_copies_the_one_asked_for_is_taken(network, ema):
    module = nn.ModuleDict({"model": network, "model_ema": plus_one(network)})
    found = unwrapped(module.state_dict(), network.state_dict().keys(), ema=ema)
    assert torch.equal(found["2.bias"], network[2].bias + ema)


def test_of_a_teacher_and_a_student_none_is_guessed(network):
    module = nn.ModuleDict({"student": network, "teacher": plus_one(network)})
    with pytest.raises(InputError, match=r"weights 2 times, under student\., teacher\.; expected"):
        unwrapped(module.state_dict(), network.state_dict().keys())


def test_the_networks_own_place_comes_before_a_copy(network):
    weights = {**network.state_dict(), **held("best", plus_one(network))}
    found = unwrapped(weights, network.state_dict().keys())
    assert torch.equal(found["2.bias"], network[2].bias)


def test_a_part_with_names_of_the_whole_is_no_second_place():
    """Known by its first layer alone, as where a release calls its classifier otherwise."""
    names = ("conv1.weight", "layer1.0.conv1.weight", "last_linear.weight")
    weights = {f"module.{name}": torch.zeros(1) for name in names}
    assert tuple(unwrapped(weights, {"conv1.weight", "fc.weight"})) == names


def test_a_prefix_that_is_the_networks_own_stays():
    own = held("model", nn.Linear(2, 2))
    assert list(unwrapped(own, own.keys())) == ["model.weight", "model.bias"]


def test_a_prefix_that_some_keys_have_is_no_wrapper():
    names = ("module.a", "module.b", "other")
    weights = dict.fromkeys(names, torch.zeros(1))
    assert tuple(unwrapped(weights, {"x"})) == names


KEYS = (
    "state_dict", "model", "model_state_dict", "net", "params", "ema", "state_dict_ema",
    "model_ema",
)  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_weights_are_found_under_the_usual_keys(key):
    checkpoint = {"epoch": 3, key: {"w": torch.ones(1)}, "optimizer": {"state": {}}}
    assert list(select_state_dict(checkpoint)) == ["w"]


def test_weights_are_found_deeper():
    """RT-DETR's ``{'ema': {'module': ...}}``."""
    checkpoint = {"ema": {"module": {"w": torch.ones(1)}, "updates": 7}, "model": {}}
    assert list(select_state_dict(checkpoint)) == ["w"]


@pytest.mark.parametrize(("ema", "value"), [(True, 1), (False, 0)])
def test_mmengine_keeps_the_raw_weights_as_ema_state_dict(ema, value):
    """Its EMAHook swaps the two when it saves, and the average is what is deployed."""
    checkpoint = {
        "state_dict": {"w": torch.ones(1)}, "message_hub": {},
        "ema_state_dict": {"module.w": torch.zeros(1), "steps": torch.tensor(9)},
    }  # fmt: skip
    found = unwrapped(select_state_dict(checkpoint, ema=ema), {"w"})
    assert {name: float(tensor) for name, tensor in found.items()} == {"w": value}


def test_elsewhere_it_holds_the_averaged_ones():
    checkpoint = {"state_dict": {"w": torch.zeros(1)}, "ema_state_dict": {"w": torch.ones(1)}}
    assert select_state_dict(checkpoint)["w"] == 1
    assert select_state_dict(checkpoint, ema=False)["w"] == 0


def test_the_keys_that_are_there_are_listed():
    checkpoint = {"epoch": 3, "my_net": {"w": torch.zeros(1)}, "loss": torch.zeros(())}
    with pytest.raises(
        ValueError,
        match=r"state_dict, model_state_dict, .*it holds epoch \(int\), my_net \(dict\), loss",
    ):
        select_state_dict(checkpoint)
    with pytest.raises(ValueError, match="the checkpoint holds no weights"):
        select_state_dict(checkpoint, ema=False)


def test_raw_weights_of_a_file_without_them():
    with pytest.raises(ValueError, match="holds averaged weights only; leave --no-ema out"):
        select_state_dict({"model_ema": {"w": torch.zeros(1)}}, ema=False)
