"""The tests that are marked gpu: a row for each, whatever the project's own options of pytest say."""

import pytest

import dashdeploy.bench
from dashdeploy.bench.gpu_check import marked_tests
from dashdeploy.bench.gpu_check.report import Row

MARK = "@pytest.mark" + ".gpu\n"
TESTS = f"""
import time
import pytest

{MARK}
@pytest.mark.parametrize("x", ["a word", "b"])
def test_good(x):
    pass

{MARK}
def test_wrong():
    assert 1 == 2, "one is not two"

{MARK}
def test_out():
    pytest.skip("no such engine (none [at all]) " + 100 * "x")

def test_unmarked():
    raise AssertionError

{MARK}
@pytest.mark.slow
def test_long():
    time.sleep(LONG)
"""
OPTIONS = """
[tool.pytest.ini_options]
addopts = "-q --strict-markers -m 'not slow' --import-mode=importlib"
markers = ["slow: minutes", "gpu: needs one"]
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    def write(tests):
        (tmp_path / "tests").mkdir()
        (tmp_path / "tests" / "test_it.py").write_text(tests)
        (tmp_path / "pyproject.toml").write_text(OPTIONS)
        monkeypatch.setattr(dashdeploy.bench, "__file__", str(tmp_path / "bench" / "__init__.py"))

    return write


def test_every_marked_test_is_a_row(project):
    project(TESTS.replace("LONG", "0"))
    rows = list(marked_tests.rows("cuda", quick=False, seconds=120))
    at = "tests/test_it.py::"
    assert [(row.what, row.passed) for row in rows] == [
        (f"{at}test_good[a word]", True),
        (f"{at}test_good[b]", True),
        (f"{at}test_out", None),
        (f"{at}test_long", True),
        (f"{at}test_wrong", False),
    ]
    assert rows[2].reason == "no such engine (none [at all]) " + 100 * "x"
    assert "one is not two" in rows[-1].reason


def test_what_was_run_before_its_time_was_over_stays(project):
    project(TESTS.replace("LONG", "600"))
    rows = list(marked_tests.rows("cuda", quick=False, seconds=15))
    assert [row.passed for row in rows] == [True, True, None, False, None]
    assert rows[-1] == Row(what="the tests behind the first 4", reason=marked_tests.TIME_OVER)


def test_a_file_that_cannot_be_imported_is_wrong(project):
    project(f"import pytest\nimport no_such_module\n\n{MARK}def test_it():\n    pass\n")
    (row,) = marked_tests.rows("cuda", quick=False, seconds=60)
    assert row.passed is False
    assert "test_it.py" in row.what + str(row.reason)


def test_without_a_checkout_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(dashdeploy.bench, "__file__", str(tmp_path / "bench" / "__init__.py"))
    (row,) = marked_tests.rows("cuda", quick=False, seconds=60)
    assert (row.figures, row.passed) == ({}, None)
    assert "it has no tests" in row.reason
