"""What charts are made of, in Chromium: ticks, paths of long series, probabilities."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
FINITE = st.floats(-1e6, 1e6, allow_subnormal=False)


@pytest.fixture(scope="module")
def call(page):
    def call(module, name, *arguments):
        script = """async ([module, name, given]) => (await import(`/${module}.js`))[name](...given)"""
        return page.evaluate(script, [module, name, list(arguments)])

    return call


@QUICK
@given(low=FINITE, span=st.floats(1e-6, 1e6), count=st.integers(2, 10))
@example(low=1.0, span=400001.0, count=2)  # no multiple of 500000, which is 200000.5 rounded up
def test_ticks_are_round_even_and_within(call, low, span, count):
    high = low + span
    assume(high - low > 1e-9 * abs(low))  # doubles tell no more steps apart
    ticks = np.array(call("axes", "ticks", low, high, count), float)
    assert 1 <= len(ticks) <= 2 * count + 1
    assert ticks.min() >= low - 1e-8 * span
    assert ticks.max() <= high + 1e-8 * span
    if len(ticks) > 1:
        step = np.diff(ticks).mean()
        np.testing.assert_allclose(np.diff(ticks), step, rtol=1e-3)
        assert round(step / 10 ** np.floor(np.log10(step * 1.001)), 2) in (1, 2, 5)


@QUICK
@given(seed=st.integers(0, 99), length=st.integers(1, 5000), pixels=st.integers(20, 200))
def test_a_path_keeps_every_peak(page, seed, length, pixels):
    values = np.random.default_rng(seed).standard_normal(length).round(3)
    script = """async ([values, pixels]) =>
      (await import("/axes.js")).path(values, x => x, y => 1000 * y, pixels)"""
    path = page.evaluate(script, [values.tolist(), pixels])
    points = np.array([point.split() for point in path[1:].split("L")], float)
    assert len(points) == length if length <= 2 * pixels else len(points) <= 2 * pixels
    assert np.all(np.diff(points[:, 0]) > 0)
    np.testing.assert_allclose(points[:, 1], 1000 * values[points[:, 0].astype(int)], atol=0.06)
    assert points[:, 1].max() == pytest.approx(1000 * values.max(), abs=0.06)
    assert points[:, 1].min() == pytest.approx(1000 * values.min(), abs=0.06)


@QUICK
@given(logits=st.lists(st.floats(-800, 800), min_size=2, max_size=9))
def test_probabilities_are_those_of_scipy(call, logits):
    assume(abs(sum(logits) - 1) > 0.1)
    ours = call("probabilities", "probabilitiesOf", logits, False)
    np.testing.assert_allclose(ours["probabilities"], softmax(logits), rtol=1e-12, atol=1e-300)
    many = call("probabilities", "probabilitiesOf", logits, True)
    np.testing.assert_allclose(many["probabilities"], expit(logits), rtol=1e-12, atol=1e-300)
    # What is a distribution already stays as it is.
    again = call("probabilities", "probabilitiesOf", ours["probabilities"], False)
    np.testing.assert_allclose(again["probabilities"], ours["probabilities"], rtol=1e-12)
    assert again["how"] == "as the model gives them"


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.5, "50.0 %"), (1, "100.0 %"), (0, "0.0 %"), (0.9999, "> 99.9 %"), (0.0001, "< 0.1 %"), (0.123, "12.3 %")],
)  # fmt: skip
def test_a_share_is_never_all_or_nothing_by_rounding(call, share, text):
    assert call("bar_chart", "percent", share) == text
