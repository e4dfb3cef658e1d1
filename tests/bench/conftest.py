"""Tests of bench leave the costs that were measured on this machine alone."""

import json

import pytest

from dashdeploy.bench.show.results import schema_of


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def fits_schema():
    """Checks JSON text against the schema of its kind, and gives its content."""

    # Here, since `make gpu-check` runs tests on machines that lack it.
    import jsonschema_rs

    def check(kind, text):
        content = json.loads(text)
        jsonschema_rs.validator_for(schema_of(kind)).validate(content)
        return content

    return check
