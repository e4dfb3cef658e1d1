"""The report's files: what they hold, that they are one file, and that no string of the data becomes markup."""

import json
import re
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.backbones.run import Run
from dashdeploy.cli.app import app
from dashdeploy.report.alpha import MOST_EPOCHS, LayerAlpha, draw_evolution, thinned
from dashdeploy.report.architecture import Kernel, LayerPicture, draw_architecture
from dashdeploy.report.bundle_report import bundle_page
from dashdeploy.report.charts import Bar, Line, bar_chart, line_chart, ticks
from dashdeploy.report.page import Page, Section, html_table
from dashdeploy.report.run_report import run_page

VOID = {"meta", "link", "br", "hr", "img", "input"}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
LONG = "a very long note, of fifty letters or so, to the right"
HISTORY = [
    {
        "phase": phase,
        "epoch": epoch,
        "train_loss": 2.0 / (epoch + 1),
        "validation_loss": 2.5 / (epoch + 1),
        "validation_accuracy": 0.5 + 0.1 * epoch,
        **(
            {
                "kernels": [[3, 1], [7, 5]],
                "entropy": [1 - 0.1 * epoch, 0.5],
                "alpha": [[[0.4, 0.1], [0.2, 0.3]]] * 2,
            }
            if phase == "search"
            else {}
        ),
    }
    for phase in ("search", "retrain", "backbone")
    for epoch in range(4)
]


class Outline(HTMLParser):
    """Checks that tags nest, and collects ids, pictures and whatever asks the network."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.pictures, self.urls = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "svg":
            self.pictures.append(found)
        self.urls += [found[key] for key in ("src", "href") if key in found]

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def run(written_run):
    (written_run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in HISTORY))
    return written_run


def check(text):
    outline = Outline(text)
    assert len(set(outline.ids)) == len(outline.ids)
    assert all(url.startswith(("#", "data:")) for url in outline.urls)
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in outline.pictures)
    assert len(text) < 3e6
    for url in re.findall(r'href="#([^"]+)"', text):
        assert url in outline.ids
    return outline


def test_a_run_has_every_section_and_picture(run):
    text = run_page(Run.load(run), made_by=Provenance.now()).html()
    outline = check(text)
    assert {"architecture", "alpha", "curves", "results", "provenance", "inspector"} <= set(outline.ids)
    assert len(outline.pictures) == 7  # kernels, shares, evolution, entropy, losses, metric, seconds
    for said in ("receptive field", "k 7, d 5", "87.50%", "Every epoch as a table", "machine"):
        assert said in text
    layers = json.loads(re.search(r'id="layers">(.*?)</script>', text, re.S)[1])
    assert layers["b"]["receptive field"] == "31"
    assert layers["a"]["share of alpha"] == "0.400"


def test_the_trials_of_a_tuning_are_a_table(run):
    space = {"learning_rate": 0.01, "weight_decay": 5e-6, "momentum": 0.9}
    trials = [
        {"state": "pruned", "value": 0.5, "epochs": 2, "rung": 1, **space, "seed": 3},
        {"state": "complete", "value": 0.9, "epochs": 20, "rung": 4, **space, "seed": 4},
    ]
    content = {"way": "asha", "chosen": {**space, "dropout": None, "seed": 4}, "trials": trials}
    (run / "tuning.json").write_text(json.dumps(content))
    text = run_page(Run.load(run)).html()
    check(text)
    assert "Tuning (asha, 2 trials): learning rate 0.01, weight decay 5e-06, momentum 0.9, seed 4" in text
    assert "Rung r is after 2^r epochs" in text
    table = text[text.index("Tuning (asha") :].partition("</table>")[0]
    rows = [re.findall(r"<t[dh][^>]*>([^<]*)<", row) for row in re.split("<tr[^>]*>", table)[1:]]
    assert rows[0][:4] == ["trial", "validation", "epochs", "rung"]
    assert [row[:4] for row in rows[1:]] == [
        ["pruned", "0.5", "2", "1"],
        ["complete, chosen", "0.9", "20", "4"],
    ]


@pytest.mark.parametrize(
    "history", ["", "not json\n", '{"phase": "search"}\n', '{"phase": "search", "epoch": 0, "alpha": 3}\n']
)
def test_a_history_that_is_missing_or_cut_leaves_out_what_it_lacks(written_run, history):
    (written_run / "metrics.jsonl").write_text(history)
    outline = check(run_page(Run.load(written_run)).html())
    assert "architecture" in outline.ids
    assert "curves" not in outline.ids


def test_a_bundle_shows_its_plan(written_bundle):
    text = bundle_page(Bundle.load(written_bundle)).html()
    outline = check(text)
    assert {"plan", "architecture", "parity", "files", "provenance"} <= set(outline.ids)
    layers = json.loads(re.search(r'id="layers">(.*?)</script>', text, re.S)[1])
    assert layers["first"]["plan"] == "fft(tile=16)"
    assert layers["first"]["cost of direct"] == "0.0300 ms"
    assert layers["second"]["reason"] == "the spatial size is dynamic"
    assert "0.020 ms (chosen)" in text
    assert next(iter(layers["first"])) == "plan"


def test_no_string_becomes_markup(run):
    architecture = json.loads((run / "architecture.json").read_text())
    architecture["layers"][0]["name"] = HOSTILE
    (run / "architecture.json").write_text(json.dumps(architecture))
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["task"] = HOSTILE
    metrics["seconds"][HOSTILE] = 3.0
    (run / "metrics.json").write_text(json.dumps(metrics))
    (run / "config.json").write_text(
        json.dumps({"source": {HOSTILE: HOSTILE}, "settings": {HOSTILE: HOSTILE}, "versions": {"x": HOSTILE}})
    )
    text = run_page(Run.load(run)).html()
    check(text)
    assert "<script>alert" not in text
    assert "<img" not in text
    assert HOSTILE in json.loads(re.search(r'id="layers">(.*?)</script>', text, re.S)[1])


def test_inspect_writes_either(tmp_path, run, written_bundle):
    for path in (run, written_bundle):
        file = tmp_path / f"{path.name}.html"
        done = CliRunner().invoke(app, ["inspect", str(path), "--report", str(file)])
        assert done.exit_code == 0, done.output
        check(file.read_text())
    done = CliRunner().invoke(app, ["inspect", str(run), "--report", str(tmp_path / "no" / "x.html")])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: cannot write")


def test_the_picture_of_kernels_places_every_tap():
    causal = LayerPicture("causal", Kernel(3, 4), causal=True)
    centred = LayerPicture("centred", Kernel(5, 2), Kernel(3, 1))
    drawn = draw_architecture([causal, centred])
    assert drawn.count('class="tap"') == 8
    assert drawn.count('class="was"') == 3
    assert "causal: k 3, d 4, field 9" in drawn
    assert draw_architecture([]) == ""


def test_a_long_search_is_thinned_and_stays_small():
    shares = [[0.05] * 7 for _ in range(7)]
    layers = [LayerAlpha(f"layer {i}", shares, [shares] * 500) for i in range(20)]
    drawn = draw_evolution(layers, range(3, 17, 2), [1, 3, 7, 15, 31, 63, 127])
    assert len(drawn) < 1.5e6
    assert thinned(500, MOST_EPOCHS)[-1] == 499
    assert thinned(3, 10) == [0, 1, 2]


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 10, [0, 2.5, 5, 7.5, 10]), (3, 3, [3]), (0, 1, [0, 0.25, 0.5, 0.75, 1])]
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_charts_leave_out_what_is_no_number():
    nothing = line_chart("t", [Line("a", [(1, float("nan"))])], x_label="x", y_label="y")
    assert nothing == ""
    drawn = line_chart(
        "t", [Line("a", [(1, 0.0), (2, 1.0), (3, 10.0)])], x_label="x", y_label="y", logarithmic=True
    )
    assert drawn.count("<circle") == 2
    assert bar_chart("t", [], unit="ms") == ""
    (drawn,) = re.findall(
        r'<text x="([0-9.]+)"[^>]*>a very long note', bar_chart("t", [Bar("a", 1.0, note=LONG)], unit="")
    )
    assert float(drawn) + 6 * len(LONG) < 680  # the note ends within the picture
    assert 'class="whisker"' in bar_chart("t", [Bar("a", 1.0, high=2.0)], unit="ms")


def test_a_page_without_layers_has_no_inspector():
    table = html_table(["a", "b"], [[HOSTILE, 1.5], ["x", None]], caption="c")
    text = Page("title", "subtitle", [Section("one", "One", [table]), Section("two", "Two", [])]).html()
    outline = check(text)
    assert "inspector" not in outline.ids
    assert "two" not in outline.ids
    assert "<img" not in text
