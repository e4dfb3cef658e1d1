"""Result files: schemas are documented and current, what is written fits them, foreign files are refused."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.bench.common.result import version_of
from dashdeploy.bench.latency.measure import measure_latency
from dashdeploy.bench.show.results import SCHEMAS, load_result, schema_of
from dashdeploy.cli.app import app
from dashdeploy.errors import InputError

ROOT = Path(__file__).parents[3]
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))


@pytest.mark.parametrize("script", ["generate_schemas.py", "generate_benchmarks.py"])
def test_what_is_generated_is_up_to_date(script):
    command = [sys.executable, ROOT / "docs" / script, "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_published_results_fit_their_schema_and_can_be_shown(path, tmp_path):
    content = json.loads(path.read_text())
    jsonschema_rs.validator_for(schema_of(content["kind"])).validate(content)
    page = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["bench", "show", str(path), "--report", str(page)])
    assert done.exit_code == 0, done.output
    assert 1000 < page.stat().st_size < 3e6


def test_what_a_command_writes_fits_its_schema(written_bundle, tmp_path):
    file = tmp_path / "latency.json"
    words = [
        "bench",
        "latency",
        str(written_bundle),
        "--batches",
        "1",
        "--seconds",
        "0.05",
        "--json",
        str(file),
    ]
    assert CliRunner().invoke(app, words).exit_code == 0
    content = json.loads(file.read_text())
    validator = jsonschema_rs.validator_for(schema_of("latency"))
    validator.validate(content)
    assert not validator.is_valid(content | {"rows": "none"})
    assert not validator.is_valid(content | {"surprise": 1})
    assert load_result(file).rows[0].batch == 1


def test_every_field_is_required_by_no_accident():
    for kind, model in SCHEMAS.items():
        schema = schema_of(kind)
        assert schema["properties"]["kind"]["const"] == kind
        assert schema["properties"]["format_version"]["const"] == version_of(model)
        assert schema["additionalProperties"] is False


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_result(tmp_path / "none.json")


def test_a_latency_result_is_shown_again(written_bundle, tmp_path):
    report = measure_latency(Bundle.load(written_bundle), batches=[1], seconds=0.05)
    file = tmp_path / "latency.json"
    file.write_text(report.to_json())
    done = CliRunner().invoke(app, ["bench", "show", str(file)])
    assert "compiled" in done.stdout
