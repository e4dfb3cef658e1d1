"""Tasks of the arrays that a Python program holds."""

import numpy as np
import pandas as pd
import pytest
import torch

import dashdeploy
from dashdeploy import DataOptions, InputError, task_from


def data(count=30, channels=2, length=8):
    return np.random.default_rng(0).standard_normal((count, channels, length)), np.arange(count) % 3


X, Y = data()
FORMS = {
    "NumPy": (X, Y),
    "NumPy's float16 and uint8": (X.astype(np.float16), Y.astype(np.uint8)),
    "lists": (X.tolist(), Y.tolist()),
    "torch": (torch.from_numpy(X), torch.from_numpy(Y)),
    "torch with gradients": (torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y)),
    "bfloat16": (torch.from_numpy(X).bfloat16(), torch.from_numpy(Y)),
    "a list of arrays": (list(X), list(Y)),
    "a list of tensors": (list(torch.from_numpy(X)), torch.from_numpy(Y)),
    "an array of objects": (np.array([*map(list, X), None], dtype=object)[:-1], Y),
    "nested data frame": (pd.DataFrame({c: [pd.Series(x[c]) for x in X] for c in range(2)}), pd.Series(Y)),
    "text": (X, np.array(["a", "b", "c"])[Y]),
    "a column of text": (X, pd.Series(np.array(["a", "b", "c"])[Y])),
    "a column of categories": (X, pd.Series(np.array(["a", "b", "c"])[Y], dtype="category")),
    "a column that may miss": (X, pd.Series(Y, dtype="Int64")),
    "whole floats": (X, Y.astype(float)),
    "columns": (X, pd.DataFrame({"y": Y})),
}


@pytest.mark.parametrize(("x", "y"), FORMS.values(), ids=FORMS)
def test_forms_of_inputs_and_targets(x, y):
    task = task_from(x, y)
    text = task.labels == ("a", "b", "c")
    assert text or task.labels == ("0", "1", "2")
    expected = torch.as_tensor(x).detach().float().numpy() if isinstance(x, torch.Tensor) else X
    expected = (
        np.asarray(x, np.float32) if isinstance(x, np.ndarray) and x.dtype != object else np.float32(expected)
    )
    known = {row.tobytes(): (row, label) for row, label in zip(expected, Y, strict=True)}
    seen = 0
    for inputs, targets in (task.train, task.validation, task.test):
        for row, target in zip(inputs.numpy(), targets.tolist(), strict=True):
            values, label = known[row.tobytes()]
            np.testing.assert_array_equal(row, values, strict=True)
            assert target == label
            seen += 1
    assert seen == 30


def test_parts_of_one_s_own():
    x_test, y_test = X[:9] + 1, Y[:9]
    task = task_from(X, Y, x_test, y_test, X[:6], Y[:6], labels=["low", "mid", "high"], name="mine")
    assert (task.name, task.labels, len(task.train.targets)) == ("mine", ("low", "mid", "high"), 30)
    np.testing.assert_array_equal(task.test.inputs, x_test.astype(np.float32))
    np.testing.assert_array_equal(task.validation.inputs, X[:6].astype(np.float32))
    assert "test_split" not in task.source


def test_series_of_several_lengths():
    x = [series[:, : 4 + i % 5] for i, series in enumerate(X)]
    task = task_from(x, Y, x[:7], Y[:7])
    assert task.input_shape == (2, 8)
    mean = np.concatenate(x, axis=1).mean(1)
    for row, series in zip(task.test.inputs.numpy(), x, strict=False):
        np.testing.assert_array_equal(row[:, : series.shape[1]], series.astype(np.float32))
        np.testing.assert_allclose(
            row[:, series.shape[1] :].T, np.tile(mean, (8 - series.shape[1], 1)), rtol=1e-5
        )
    one = task_from([series[0] for series in x], Y, [series[0] for series in x[:7]], Y[:7])
    np.testing.assert_array_equal(one.test.inputs[:, 0, :4], task.test.inputs[:, 0, :4])


def test_a_data_frame_of_numbers():
    frame = pd.DataFrame(X[:, 0]).assign(label=Y)
    task = task_from(frame.drop(columns="label"), frame["label"])
    assert task.input_shape == (1, 8)
    known = {np.float32(row[0]): label for row, label in zip(X[:, 0], Y, strict=True)}
    assert [known[each] for each in task.test.inputs[:, 0, 0].numpy()] == task.test.targets.tolist()
    nullable = frame.drop(columns="label").astype("Float64")
    nullable.iloc[3, 2] = pd.NA
    with pytest.raises(InputError, match=r"data: X holds 1 values that are NaN .* index \[3, 2\]"):
        task_from(nullable, frame["label"])


def test_options_and_the_seed():
    task = task_from(X.transpose(0, 2, 1), Y, options=DataOptions(layout="channels-last"), seed=3)
    assert task.input_shape == (2, 8)
    assert not torch.equal(task_from(X, Y).test.inputs, task.test.inputs)
    regression = task_from(X, X[:, 0, 0], options=DataOptions(predict="regression", normalize="channels"))
    assert regression.kind == "regression"


def test_a_search_of_it(tmp_path):
    run = dashdeploy.search(
        task_from(X, Y), "resnet1d", out=tmp_path / "run", kernel_sizes=(3,), dilations=(1,), width=4,
        search_epochs=1, retrain_epochs=1, progress=dashdeploy.progress.silent,
    )  # fmt: skip
    assert run.metrics["task"] == "arrays"


WRONG = {
    "other channels": (
        ([X[0], X[0][:1]] * 5, [0, 1] * 5),
        "data: X has samples of 1 and 2 channels; give every",
    ),
    "text": (([["a", "b"]] * 10, [0, 1] * 5), "data: X has dtype <U1; use real numbers"),
    "text in series": (([["a"], ["a", "b"]] * 5, [0, 1] * 5), "data: X is not a series at index 0"),
    "numbers": (([1.0] * 10, [0, 1] * 5), "data: X has 1 axes, shape [10]"),
    "too deep": (([X[:2], X[:1]] * 5, [0, 1] * 5), "data: X is not a series at index 0; give [length] or"),
    "missing targets": ((X, pd.Series(["a", None] * 15)), "data: y is missing at index 1; fill it in"),
    "fewer targets": ((X, Y[:-1]), "data: X has 30 samples but y has 29"),
    "one class": ((X, Y * 0), "data: y holds the one class 0"),
    "half a test": ((X, Y, X), "array y_test is missing"),
    "an unknown class": (
        (X, Y, X, Y + 1),
        "data: y_test is 3 at index 2, a class that y never has (it has 0, 1, 2)",
    ),
    "other shape": ((X, Y, X[:, :, :5], Y), "data: X_test has samples of shape [2, 5] but X of shape [2, 8]"),
}


@pytest.mark.parametrize(("given", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(given, expected):
    with pytest.raises(InputError) as caught:
        task_from(*given)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value) and "; " in str(caught.value)
