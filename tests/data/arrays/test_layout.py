"""Arrays whose channels are at the end."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.errors import InputError

LAST, FIRST = DataOptions(layout="channels-last"), DataOptions(layout="channels-first")


def arrays(shape, targets=None):
    random = np.random.default_rng(0)
    made = {
        f"x_{part}": random.standard_normal((count, *shape)) for part, count in (("train", 30), ("test", 9))
    }
    for part, count in (("train", 30), ("test", 9)):
        made[f"y_{part}"] = (
            np.arange(count) % 3 if targets is None else random.standard_normal((count, *targets))
        )
    return made


def test_channels_last_becomes_channels_first():
    given = arrays((300, 3))
    task = load_data(given, options=LAST)
    assert task.input_shape == (3, 300)
    expected = given["x_test"].transpose(0, 2, 1).astype(np.float32)
    np.testing.assert_array_equal(task.test.inputs.numpy(), expected)
    assert task.source["layout"] == "channels-last"
    assert not any("layout" in each for each in task.notes)
    moved = {name: x.transpose(0, 2, 1) if name[0] == "x" else x for name, x in given.items()}
    assert torch.equal(load_data(moved).train.inputs, task.train.inputs)
    # The same arrays read the other way are other data to a run that is resumed.
    assert "layout" not in load_data(given, options=FIRST).source


def test_images():
    given = arrays((9, 10, 3))
    task = load_data(given, options=LAST)
    assert task.input_shape == (3, 9, 10)
    expected = given["x_test"].transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_array_equal(task.test.inputs.numpy(), expected)


def test_targets_at_every_position_move_along():
    given = arrays((40, 3), (40, 2))
    task = load_data(given, options=replace(LAST, predict="regression"))
    assert (task.dense, task.outputs) == (True, 2)
    np.testing.assert_array_equal(
        task.test.targets.numpy(), given["y_test"].transpose(0, 2, 1).astype(np.float32)
    )


@pytest.mark.parametrize(
    ("shape", "suspected"),
    [
        ((300, 3), True), ((128, 9), True), ((50, 1), True), ((3, 300), False), ((16, 16), False),
        ((144, 62), False), ((28, 28, 3), True), ((28, 28, 1), True), ((3, 28, 28), False), ((1, 5, 4), False),
        ((300,), False),
    ],
)  # fmt: skip
def test_a_note_where_they_look_like_channels_last(shape, suspected):
    notes = [each for each in load_data(arrays(shape)).notes if "layout" in each]
    assert len(notes) == suspected
    if suspected:
        assert f"x_train has shape {[30, *shape]}, which is read as {shape[0]} channels" in notes[0]
        assert (
            f"the {shape[-1]} channels, say `layout=channels-last`, and if not, `layout=channels-first`"
            in notes[0]
        )
    if len(shape) > 1:
        assert not any("layout" in each for each in load_data(arrays(shape), options=FIRST).notes)


@pytest.mark.parametrize("options", [FIRST, LAST])
def test_a_layout_of_one_channel_without_an_axis_is_refused(options):
    with pytest.raises(
        InputError, match=r"x_train has shape \[30, 300\], one channel .*; leave out `layout=chann"
    ):
        load_data(arrays((300,)), options=options)


def test_a_layout_of_files_that_have_their_own_is_refused(tmp_path):
    for name in ("d_TRAIN.ts", "d.csv", "d.parquet", "d.arff"):
        with pytest.raises(
            InputError, match="its format says where channels are; leave out `layout=channels-first`"
        ):
            load_data(tmp_path / name, options=FIRST)
    with pytest.raises(
        InputError, match="it is not a table, so it has no columns; leave out `target_column=y`"
    ):
        load_data(arrays((3, 8)), options=DataOptions(target_column="y"))
