"""Conditions of images, in the order in which their cell has the images."""

import pytest

from stl_backbones.errors import InputError
from stl_backbones.results.conditions import CONDITIONS, read_conditions, write_conditions

KEYS = ["a.png", "b,c.png"]
COLUMNS = {
    "weather": {"a.png": "fog", "b,c.png": "rain"},
    "hour": {"a.png": "7", "b,c.png": "23"},
}


def test_file(tmp_path):
    write_conditions(tmp_path, KEYS, COLUMNS)
    expected = 'image,weather,hour\na.png,fog,7\n"b,c.png",rain,23\n'
    assert (tmp_path / CONDITIONS).read_text() == expected


def test_values_are_in_the_order_asked_for(tmp_path):
    write_conditions(tmp_path, KEYS, COLUMNS)
    found = read_conditions(tmp_path, KEYS[::-1])
    assert found == {"weather": ["rain", "fog"], "hour": ["23", "7"]}


def test_without_conditions_there_is_no_file(tmp_path):
    write_conditions(tmp_path, KEYS, {})
    assert list(tmp_path.iterdir()) == []
    assert read_conditions(tmp_path, KEYS) == {}


@pytest.mark.parametrize(
    "text",
    [
        "image,weather\na.png,fog\n",
        "image,weather\na.png,fog\nx.png,rain\n",
        "image,weather\na.png,fog,7\n'b,c.png',rain\n",
        'image,weather\na.png\n"b,c.png",rain\n',
    ],
)
def test_a_file_of_other_images_is_refused(tmp_path, text):
    (tmp_path / CONDITIONS).write_text(text)
    with pytest.raises(InputError, match="is of other images than its cell"):
        read_conditions(tmp_path, KEYS)
