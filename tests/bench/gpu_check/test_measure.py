"""The sections are kept apart; the CPU's rehearsal runs all of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from dashdeploy.bench.gpu_check import measure, parity
from dashdeploy.bench.gpu_check.measure import SECTIONS, Planned, check_gpu
from dashdeploy.bench.gpu_check.report import GpuCheckReport, Row, Section
from dashdeploy.bench.show.results import load_result
from dashdeploy.cli.app import app
from dashdeploy.errors import MissingCapabilityError

ROOT = Path(__file__).parents[3]

GOOD, WRONG = Row(what="a", figures={"ms": 1.25}), Row(what="b", passed=False, reason="0.2 is too much")
OUT, LEFT = (
    Row(what="c", reason="left out: no engine"),
    Row(what="d", reason="left out: the section's time is over"),
)


@pytest.mark.parametrize(
    ("rows", "code", "timed_out", "expected"),
    [
        ((GOOD,), 0, False, ("passed", None)),
        ((GOOD, OUT), 0, False, ("passed", None)),
        ((GOOD, WRONG), 0, False, ("failed", "b: 0.2 is too much")),
        ((GOOD, WRONG), 1, True, ("failed", "b: 0.2 is too much")),
        ((OUT,), 0, False, ("skipped", "left out: no engine")),
        ((), 0, False, ("skipped", "it gave no rows")),
        ((GOOD, LEFT), 0, False, ("cut short", "its time was over before d")),
        ((GOOD,), -9, True, ("cut short", "its time was over after 1 rows")),
        ((GOOD,), -11, False, ("failed", "its process ended with -11 and said: last words")),
    ],
)
def test_the_verdict_of_a_section(rows, code, timed_out, expected):
    assert measure._verdict(rows, code, "first\nlast words\n", timed_out=timed_out) == expected


def test_they_take_less_than_eight_minutes_together():
    # The rest is for the start: Python, torch and the installation of the wheels.
    assert sum(each.seconds + measure._GRACE_SECONDS for each in SECTIONS.values()) <= 8 * 60 - 15


@pytest.fixture
def own_sections(tmp_path, monkeypatch):
    """Sections of files that are written here, which their processes import by the same name."""
    monkeypatch.setattr(measure, "_REHEARSAL_PATIENCE", 1)

    def use(seconds=30, **sources):
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
        driver = tmp_path / "driver.py"
        driver.write_text(
            "import sys\n"
            f"sys.path.insert(0, {str(tmp_path)!r})\n"
            "import dashdeploy.bench.gpu_check as folder\n"
            f"folder.__path__.append({str(tmp_path)!r})\n"
            "from dashdeploy.bench.gpu_check import measure\n"
            f"measure.SECTIONS = {{n: measure.Planned(n, n, {seconds}) for n in {list(sources)!r}}}\n"
            "sys.exit(measure.main())\n"
        )
        monkeypatch.setattr(measure, "SECTIONS", {name: Planned(name, name, seconds) for name in sources})
        monkeypatch.setattr(measure, "_GRACE_SECONDS", 0.0)
        real = subprocess.Popen
        monkeypatch.setattr(
            measure.subprocess,
            "Popen",
            lambda words, **more: real([words[0], str(driver), *words[3:]], **more),
        )
        return {each.name: each for each in check_gpu("cpu", sections=list(sources)).sections}

    return use


HEAD = "from dashdeploy.bench.gpu_check.report import Row\n\n\ndef rows(device, *, quick, seconds):\n"


def test_a_section_that_breaks_off_takes_no_other_along(own_sections):
    found = own_sections(
        raises=HEAD
        + "    yield Row(what='first', figures={'ms': 1.5})\n    raise RuntimeError('CUDA error: 700')\n",
        dies=HEAD + "    import os\n    yield Row(what='one')\n    os.kill(os.getpid(), 11)\n",
        works=HEAD + "    yield Row(what=device, figures={'quick': str(quick)}, passed=True)\n",
    )
    assert found["raises"].status == "failed"
    assert found["raises"].reason == "its process ended with 1 and said: RuntimeError: CUDA error: 700"
    assert found["raises"].rows == (Row(what="first", figures={"ms": 1.5}),)
    assert found["dies"].reason.startswith("its process ended with -11")
    assert found["works"].status == "passed"
    assert found["works"].rows == (Row(what="cpu", figures={"quick": "False"}, passed=True),)


def test_a_section_that_hangs_is_ended_with_what_it_started(own_sections, tmp_path):
    pid = tmp_path / "pid"
    source = (
        HEAD
        + "    import subprocess, time\n    child = subprocess.Popen(['sleep', '600'])\n"
        + f"    open({str(pid)!r}, 'w').write(str(child.pid))\n"
        + "    yield Row(what='first', figures={'ms': 1})\n    time.sleep(600)\n"
    )
    found = own_sections(seconds=15, hangs=source)["hangs"]
    assert (found.status, found.reason) == ("cut short", "its time was over after 1 rows")
    assert found.seconds < 60
    stat = Path(f"/proc/{pid.read_text()}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_nothing_is_run():
    with pytest.raises(MissingCapabilityError, match="`device=cuda`: torch"):
        check_gpu("cuda")


def test_parity_sees_an_error(monkeypatch):
    rows = list(parity.rows("cpu", quick=True, seconds=60))
    assert len(rows) == 10
    assert all(row.passed for row in rows)
    real = parity._values

    def off(layer, x, method, device, dtype):
        values = real(layer, x, method, device, dtype)
        if method == "fourier":
            values["weight's"] = values["weight's"] * 1.001
        return values

    monkeypatch.setattr(parity, "_values", off)
    wrong = [row.what for row in parity.rows("cpu", quick=True, seconds=60) if not row.passed]
    assert wrong == ["series, dense: fourier", "images, dense: fourier"]


def report(*rows):
    from dashdeploy.artifacts.provenance import Provenance

    section = Section(
        name="parity",
        about="About it.",
        status="failed",
        reason="why | so",
        seconds=3,
        budget_seconds=40,
        rows=rows,
    )
    return GpuCheckReport(
        provenance=Provenance.now(),
        device="cpu",
        description=None,
        quick=True,
        seconds=4,
        sections=(section,),
    )


def test_the_report_is_markdown_and_json(tmp_path, fits_schema):
    made = report(GOOD, WRONG)
    text = made.text()
    assert text.startswith("# GPU check: a rehearsal on the CPU, which says nothing about a GPU\n")
    assert "smallest sizes, no measurement" in text
    assert "| parity | failed | 3 | why \\| so |" in text
    assert "| what | ms | as it has to be | note |\n|---|---|---|---|\n| a | 1.25 |  |  |\n" in text
    assert "| b |  | no | 0.2 is too much |" in text
    assert made.failed == ["parity"]
    path = tmp_path / "gpu-check.json"
    path.write_text(made.to_json())
    assert fits_schema("gpu-check", made.to_json())["device"] == "cpu"
    assert load_result(path) == made
    done = CliRunner().invoke(app, ["bench", "show", str(path), "--report", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    assert "0.2 is too much" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_the_rehearsal_runs_to_the_end(tmp_path, fits_schema):
    script = ROOT / "bench" / "gpu_check" / "start.py"
    words = [sys.executable, str(script), "--device", "cpu", "--quick", "--out", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "out" / "gpu-check.json").read_text()
    found = fits_schema("gpu-check", text)
    assert (found["device"], found["description"], found["quick"]) == ("cpu", None, True)
    assert {each["name"]: each["status"] for each in found["sections"]} == dict.fromkeys(SECTIONS, "passed")
    rows = {row["what"]: row for each in found["sections"] for row in each["rows"]}
    assert rows["both are the same bit for bit"]["passed"] is True
    assert rows["tests marked gpu"]["figures"]["found"] >= 7
    assert json.loads(text)["seconds"] < 8 * 60
    assert (tmp_path / "out" / "gpu-check.md").read_text() == done.stdout
