"""The memory of a large step: c = 7, dense, a batch of 64, series of 1000, the paper's width."""

import pytest

from dashdeploy.bench.search_cost.measure import series_problems
from dashdeploy.bench.search_cost.problem import peak_mib


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "fourier"])
def test_a_large_step_takes_less_than_eight_gigabytes(method):
    (problem,) = series_problems(sizes=[7])
    large = problem.model_copy(update={"batch": 64, "arguments": {**problem.arguments, "width": 64}})
    assert (len(large.kernel_sizes), len(large.dilations), large.input_shape) == (7, 7, (1, 1000))
    peak = peak_mib(large, method, 1)
    if peak is None:
        pytest.skip("this system does not tell the peak memory")
    assert 1000 < peak < 8e9 / 2**20
