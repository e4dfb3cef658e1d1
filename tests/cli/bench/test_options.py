"""The options that the measuring commands share."""

from dashdeploy.cli.bench.options import name_stdout


def test_a_json_file_is_optional(tmp_path):
    assert name_stdout(["latency", "b", "--json"]) == ["latency", "b", "--json", "-"]
    assert name_stdout(["--json", "--quiet", "b"]) == ["--json", "-", "--quiet", "b"]
    assert name_stdout(["--json", str(tmp_path)]) == ["--json", "-", str(tmp_path)]
    assert name_stdout(["--json", "out.json", "b"]) == ["--json", "out.json", "b"]
    assert name_stdout(["--json", "-", "b"]) == ["--json", "-", "b"]
