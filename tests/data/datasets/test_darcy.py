"""Darcy flow: the solver against SciPy and an exact solution, the fields, the cached file."""

import math

import numpy as np
import pytest
import scipy.fft
import scipy.sparse as sparse
import torch
from scipy.sparse.linalg import spsolve

from dashdeploy.data.catalog import load_task
from dashdeploy.data.datasets import darcy
from dashdeploy.data.datasets.darcy_solver import random_coefficients, sine_transform, solve
from dashdeploy.errors import InputError


def assembled(a):
    """The five-point matrix of -div(a grad .) on the inner nodes, entry by entry."""
    n = a.shape[0]
    number = -np.ones((n, n), int)
    number[1:-1, 1:-1] = np.arange((n - 2) ** 2).reshape(n - 2, n - 2)
    matrix = sparse.lil_matrix(((n - 2) ** 2,) * 2)
    for i in range(1, n - 1):
        for j in range(1, n - 1):
            for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                conductance = (a[i, j] + a[k, m]) / 2 * (n - 1) ** 2
                matrix[number[i, j], number[i, j]] += conductance
                if number[k, m] >= 0:
                    matrix[number[i, j], number[k, m]] -= conductance
    return matrix.tocsr()


def test_the_solver_agrees_with_a_direct_sparse_solve():
    a = random_coefficients(3, 22, seed=1)
    u = solve(a).numpy()
    for field, solution in zip(a.numpy(), u, strict=True):
        expected = spsolve(assembled(field), np.ones(20 * 20)).reshape(20, 20)
        np.testing.assert_allclose(solution[1:-1, 1:-1], expected, rtol=1e-7)
        assert solution[0].any() == solution[:, -1].any() == False  # noqa: E712


def test_a_manufactured_solution_is_met_with_second_order():
    """u = sin(πx) sin(πy), a = 2 + sin(2x + y): the error falls fourfold when the grid is twice as fine."""
    errors = []
    for n in (9, 17, 33):
        x, y = torch.meshgrid(*[torch.linspace(0, 1, n, dtype=torch.float64)] * 2, indexing="ij")
        a, pi = 2 + torch.sin(2 * x + y), math.pi
        u = torch.sin(pi * x) * torch.sin(pi * y)
        gradient = (
            torch.cos(2 * x + y)
            * pi
            * (2 * torch.cos(pi * x) * torch.sin(pi * y) + torch.sin(pi * x) * torch.cos(pi * y))
        )
        f = 2 * pi**2 * a * u - gradient
        errors.append(float((solve(a[None], f[None])[0] - u).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)


def test_the_sine_transform_is_scipy_s():
    x = torch.randn(2, 6, 6, dtype=torch.float64)
    np.testing.assert_allclose(sine_transform(x), scipy.fft.dstn(x.numpy(), type=1, axes=(1, 2)), atol=1e-12)


def test_the_fields_have_two_values_and_the_covariance_s_smoothness():
    a = random_coefficients(20, 33, seed=0)
    assert a.unique().tolist() == [3, 12]
    assert (a == 12).double().mean() == pytest.approx(0.5, abs=0.15)
    near = (a[:, 1:] == a[:, :-1]).double().mean()
    assert near > 0.9  # neighbours mostly agree: the field is smooth
    torch.testing.assert_close(random_coefficients(2, 33, seed=0), a[:2])
    assert not torch.equal(random_coefficients(2, 33, seed=1), a[:2])


def test_a_hopeless_field_is_not_answered_wrongly():
    with pytest.raises(ArithmeticError, match="did not converge"):
        solve(torch.full((1, 9, 9), float("nan")))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Few, small fields in a cache of the test's own."""
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(tmp_path / "cache"))
    for name, value in {"SIZE": 9, "TRAIN": 8, "VALIDATION": 2, "TEST": 2}.items():
        monkeypatch.setattr(darcy, name, value)
    return tmp_path / "cache" / "darcy-9-v1.npz"


@pytest.mark.usefixtures("small")
def test_the_task():
    task = load_task("darcy")
    assert (task.input_shape, task.dense, task.outputs, task.kind) == ((3, 9, 9), True, 1, "regression")
    assert [len(split.targets) for split in (task.train, task.validation, task.test)] == [8, 2, 2]
    assert (task.metric.name, task.metric.higher_is_better) == ("relative_l2", False)
    fields = task.unscaled(task.test)
    a, u = fields.inputs[:, 0], fields.targets[:, 0]
    torch.testing.assert_close(a.round(), random_coefficients(12, 17, 0)[10:, ::2, ::2].float())
    expected = solve(random_coefficients(12, 17, 0)[10:])[:, ::2, ::2].float()
    torch.testing.assert_close(u, expected, atol=1e-7, rtol=1e-4)
    outputs = task.test.targets * 1.1
    score = task.metric.create()
    score.update(outputs, task.test.targets)
    physical = task.scaling.outputs.undo(outputs)
    norms = (physical - fields.targets).flatten(1).norm(dim=1) / fields.targets.flatten(1).norm(dim=1)
    assert float(score.compute()) == pytest.approx(float(norms.mean()), rel=1e-5)
    assert float(task.loss(outputs, task.test.targets)) == pytest.approx(float(norms.mean()), rel=1e-5)
    coarse = load_task("darcy43")
    torch.testing.assert_close(coarse.unscaled(coarse.test).targets, fields.targets[..., ::2, ::2])


def test_the_cached_file_is_whole_or_made_again(small):
    first = load_task("darcy")
    assert [path.name for path in small.parent.iterdir()] == [small.name]
    for damage in (b"", b"noise", small.read_bytes()[:-500]):
        small.write_bytes(damage)
        assert torch.equal(load_task("darcy").test.targets, first.test.targets)
    assert load_task("darcy").source == first.source


def test_a_cache_that_cannot_be_written(small, monkeypatch):
    small.parent.parent.joinpath("file").write_text("")
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(small.parent.parent / "file" / "cache"))
    with pytest.raises(InputError, match="name a writable folder in DASHDEPLOY_CACHE"):
        load_task("darcy")
