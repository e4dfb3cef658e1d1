"""Tests of bench leave the costs that were measured on this machine alone."""

import pytest


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(tmp_path_factory.mktemp("cache")))
