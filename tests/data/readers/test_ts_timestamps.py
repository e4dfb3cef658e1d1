"""Time stamps in .ts files: on an even grid, or refused."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.data.readers.ts_format import read_ts

HEADER = "@problemName Stamped\n@timeStamps true\n@classLabel true up down\n@data\n"
RESAMPLE = DataOptions(timestamps="resample")


@pytest.fixture
def pair(tmp_path):
    def write(lines, test=None, header=HEADER, test_header=None):
        for end, text, head in (("TRAIN", lines, header), ("TEST", test or lines[:4], test_header or header)):
            (tmp_path / f"Stamped_{end}.ts").write_text(head + "\n".join(text) + "\n")
        return tmp_path / "Stamped_TRAIN.ts"

    return write


def line(times, *channels, label="up"):
    return (
        ":".join(",".join(f"({t},{v})" for t, v in zip(times, values, strict=True)) for values in channels)
        + f":{label}"
    )


def pad(lines):
    """Enough series to train on."""
    return lines + [line([0, 1, 2, 3], [1, 2, 3, 4], label=label) for label in ("up", "down") * 6]


def test_numbers(pair):
    path = pair(pad([line([0, 1, 3, 4.5], [0, 10, 30, 0])]))
    train = read_ts(path, timestamps="resample")
    np.testing.assert_allclose(train.series[0], [[0, 10, 20, 30, 10]])  # 4 lies between 3 (30) and 4.5 (0)
    np.testing.assert_allclose(train.series[1], [[1, 2, 3, 4]])
    assert train.grid.step == 1
    task = load_data(path, options=RESAMPLE)
    assert task.input_shape == (1, 5)
    assert (
        "series with time stamps are interpolated to steps of 1, the median of the training data"
        in task.notes
    )
    assert task.source["timestamps"] == "steps of 1"


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S+02:00"])
def test_dates_whose_colons_are_no_ends_of_channels(pair, form):
    start = datetime(2024, 2, 28, 23, 59, 30)

    def stamps(*seconds):
        return [(start + timedelta(seconds=each)).strftime(form) for each in seconds]

    lines = [
        line(stamps(0, 30, 60, 120), [1, 2, 3, 5], [0, 0, 6, 0], label=label) for label in ("up", "down") * 6
    ]
    task = load_data(pair(lines), options=RESAMPLE)
    np.testing.assert_allclose(task.test.inputs[0], [[1, 2, 3, 4, 5], [0, 0, 6, 3, 0]])
    assert any("to steps of 30 seconds" in note for note in task.notes)


def test_days_alone(pair):
    lines = [
        line(["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-03"], [0, 1, 2, 4], label=label)
        for label in ("up", "down") * 6
    ]
    task = load_data(pair(lines), options=RESAMPLE)
    np.testing.assert_allclose(task.train.inputs[0], [[0, 1, 2, 3, 4]])


def test_channels_with_stamps_of_their_own(pair):
    one = "(0,0),(2,4),(4,8):(1,5),(2,6),(3,7):up"
    found = read_ts(pair([one, one.replace("up", "down")]), timestamps="resample")
    # The steps are 2, 2, 1, 1, of both series: the median is 1.5.
    assert found.grid.step == 1.5
    np.testing.assert_allclose(found.series[0], [[0, 3, 6], [5, 5.5, 7]])  # at 0, 1.5, 3; 5 before its first


def test_nanoseconds_since_1970_stay_exact(pair):
    start = 1_700_000_000_123_456_789
    lines = pad([])
    lines = [
        line([start + i for i in (0, 1, 2, 4)], [0, 1, 2, 4], label=label) for label in ("up", "down") * 6
    ]
    found = read_ts(pair(lines), timestamps="resample")
    assert found.grid.step == 1
    np.testing.assert_array_equal(found.series[0], [[0, 1, 2, 3, 4]])


def test_the_grid_is_that_of_the_training_data(pair):
    path = pair(pad([]), test=[line([0, 0.5, 1, 1.5, 2], [0, 1, 2, 3, 4])])
    training = read_ts(path, timestamps="resample")
    test = read_ts(path.with_name("Stamped_TEST.ts"), training, timestamps="resample")
    np.testing.assert_allclose(test.series[0], [[0, 2, 4]])


@pytest.mark.parametrize("missing", ["interpolate", "mean"])
def test_missing_values(pair, missing, refusal):
    lines = pad(["(0,1),(1,?),(2,3),(3,NaN):up"])
    found = read_ts(pair(lines), missing=missing, timestamps="resample").series[0][0]
    np.testing.assert_array_equal(found, [1, 2, 3, 3] if missing == "interpolate" else [1, np.nan, 3, np.nan])
    task = load_data(pair(lines), options=DataOptions(timestamps="resample", missing=missing))
    assert not task.train.inputs.isnan().any()
    assert "line 5, channel 1: a value is missing" in refusal(
        pair(lines), timestamps="resample", missing="refuse"
    )


@given(st.lists(st.integers(1, 9), min_size=2, max_size=30), st.floats(-5, 5), st.floats(-5, 5))
def test_a_line_stays_a_line(tmp_path_factory, gaps, slope, offset):
    times = np.cumsum([0, *gaps])
    path = tmp_path_factory.mktemp("line") / "L_TRAIN.ts"
    values = [float(offset + slope * t) for t in times]
    path.write_text(HEADER + line(times, values) + "\n" + line(times, values, label="down") + "\n")
    found = read_ts(path, timestamps="resample")
    step = float(np.median(gaps))
    assert found.grid.step == step
    at = step * np.arange(found.series[0].shape[1])
    assert at[-1] <= times[-1] < at[-1] + step * (1 + 1e-6)
    np.testing.assert_allclose(found.series[0][0], offset + slope * at, atol=1e-9)


BAD = {
    "not wanted": (
        pad([]),
        {"timestamps": "refuse"},
        "the series have time stamps; use `timestamps=resample`",
    ),
    "no pair": (pad(["0,1,2:up"]), {}, "line 5, channel 1: 0,1,2 is not a pair of a time stamp and a value"),
    "an open parenthesis": (pad(["(0,1),(1,2:up"]), {}, "line 5"),
    "nothing": (pad([":up"]), {}, "line 5, channel 1: nothing is not a pair"),
    "no colon": (pad(["(0,1),(1,2)"]), {}, "line 5 has no colon"),
    "no number": (pad(["(0,1),(1,x):up"]), {}, "a value (x) is not a number"),
    "infinite": (pad(["(0,1),(1,inf):up"]), {}, "a value is infinite"),
    "no stamp": (pad(["(0,1),(soon,1):up"]), {}, "the time stamp 'soon' is neither a number nor a date"),
    "an infinite stamp": (pad(["(0,1),(inf,1):up"]), {}, "the time stamp 'inf' is neither"),
    "backwards": (pad(["(0,1),(2,1),(1,1):up"]), {}, "the time stamp 1 is not later than the one before"),
    "twice": (pad(["(0,1),(0,1):up"]), {}, "the time stamp 0 is not later than the one before"),
    "both kinds": (pad(["(0,1),(2024-01-01,1):up"]), {}, "some time stamps are dates and some are numbers"),
    "both kinds, by line": (pad(["(2024-01-01,1),(2024-01-02,1):up"]), {}, "some time stamps are dates"),
    "other channels": (pad(["(0,1),(1,1):(0,1),(1,1):up"]), {}, "the first series 2"),
    "torn": (pad(["(0,1),(1,1),(100000,1):up"]), {}, "line 5: 3 values span 100001 steps of 1"),
    "one value each": (["(0,1):up", "(3,1):down"], {}, "no series has two time stamps"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said_in_one_line(pair, name, refusal):
    lines, options, text = BAD[name]
    assert text in refusal(pair(lines), **{"timestamps": "resample", **options})


def test_files_of_two_kinds(pair, refusal):
    plain = HEADER.replace("@timeStamps true", "@timeStamps false")
    values = ["1,2,3:up", "3,2,1:down"] * 6
    assert "the series have no time stamps; leave out `timestamps=resample`" in refusal(
        pair(values, header=plain), timestamps="resample"
    )
    path = pair(pad([]), test=values, test_header=plain)
    assert "Stamped_TEST.ts: the training file alone has time stamps" in refusal(path, timestamps="resample")
