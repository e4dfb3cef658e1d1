"""A search of a table and of arrays in another layout, from the command line."""

import json

import numpy as np
from typer.testing import CliRunner

from dashdeploy.cli.app import app

QUICK = (
    "--width", "4", "--kernel-sizes", "3", "--dilations", "1", "--search-epochs", "1", "--retrain-epochs", "1",
)  # fmt: skip


def searched(tmp_path, *words):
    done = CliRunner().invoke(app, ["search", *map(str, words), "--out", str(tmp_path / "run"), *QUICK])
    assert done.exit_code == 0, done.stderr
    return json.loads((tmp_path / "run" / "config.json").read_text()), done.stderr


def test_a_csv_file(tmp_path):
    values = np.random.default_rng(0).standard_normal((40, 16))
    rows = [
        f"{'up' if i % 2 else 'down'}," + ",".join(map(repr, row.tolist())) for i, row in enumerate(values)
    ]
    path = tmp_path / "flow.csv"
    path.write_text("\n".join(["label," + ",".join(f"t{i}" for i in range(16)), *rows]))
    config, said = searched(tmp_path, "--data", path, "--target-column", "label", "--seed", "3")
    assert config["labels"] == ["down", "up"]
    assert config["source"]["target_column"] == "column 'label'"
    assert config["source"]["test_split"] == "20% of the samples, stratified, seed 3"
    assert said.count("test part: 20% of the samples, stratified, seed 3, are kept") == 1


def test_arrays_with_channels_at_the_end(tmp_path):
    x = np.random.default_rng(0).standard_normal((40, 48, 3))
    path = tmp_path / "flow.npz"
    np.savez(path, X=x, y=np.arange(40) % 2)
    (tmp_path / "first").mkdir()
    config, said = searched(tmp_path / "first", "--data", path)
    assert config["input_shape"] == [48, 3]
    assert said.count("say --layout channels-last, and if not, --layout channels-first") == 1
    config, said = searched(tmp_path, "--data", path, "--layout", "channels-last")
    assert config["input_shape"] == [3, 48]
    assert "--layout" not in said
