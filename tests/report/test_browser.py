"""The report in a real browser: Chromium, headless and offline, driven by Playwright."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from dashdeploy.artifacts.bundle import Bundle, write_manifest
from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.backbones.run import Run
from dashdeploy.bench.latency.measure import measure_latency
from dashdeploy.bench.latency.page import latency_page
from dashdeploy.bench.layers.measure import layer_suite
from dashdeploy.bench.layers.report import LayerResult, LayersReport
from dashdeploy.bench.show.page import result_page
from dashdeploy.bench.show.results import load_result
from dashdeploy.report.bundle_report import bundle_page
from dashdeploy.report.run_report import run_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RESULTS = Path(__file__).parent.parent.parent / "docs" / "results"
ONE_OF_EACH = {path.stem.partition("-")[0]: path for path in sorted(RESULTS.glob("*.json"))}
ALPHA = [[[0.4, 0.1], [0.2, 0.3]], [[0.0, 0.0], [0.0, 1.0]]]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def page_of(browser, file, **options):
    """An offline page that must log nothing and ask for nothing but its own file."""
    context = browser.new_context(offline=True, **options)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    yield page
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]


@pytest.fixture
def bundle_file(written_bundle, tmp_path):
    file = tmp_path / "bundle.html"
    bundle_page(Bundle.load(written_bundle)).write(file)
    return file


@pytest.fixture
def run_file(written_run, tmp_path):
    record = {"phase": "search", "train_loss": 1.0, "validation_loss": 1.0, "validation_accuracy": 0.5}
    lines = [
        json.dumps(record | {"epoch": e, "alpha": ALPHA, "entropy": [0.9, 0.0]}) + "\n" for e in range(3)
    ]
    (written_run / "metrics.jsonl").write_text("".join(lines))
    file = tmp_path / "run.html"
    run_page(Run.load(written_run)).write(file)
    return file


def test_pointing_at_a_layer_shows_its_plan(browser, bundle_file):
    with page_of(browser, bundle_file) as page:
        inspector = page.locator("#inspector")
        assert "Point at a layer" in inspector.inner_text()
        page.locator("#architecture svg [data-layer=first]").hover()
        assert inspector.locator("h2").inner_text() == "first"
        shown = inspector.inner_text()
        assert "fft(tile=16)" in shown
        assert "1.5x as fast as direct" in shown
        assert "0.0300 ms" in shown
        assert page.locator("tr.layer.on th").inner_text() == "first"
        page.locator("tr[data-layer=second]").focus()  # the keyboard reaches what the pointer does
        assert "the spatial size is dynamic" in inspector.inner_text()


def test_every_section_is_there_and_drawn(browser, run_file):
    with page_of(browser, run_file) as page:
        for anchor in ("architecture", "alpha", "curves", "results", "provenance"):
            section = page.locator(f"section#{anchor}")
            assert section.is_visible()
            page.locator(f'nav a[href="#{anchor}"]').click()
        for picture in page.locator("svg").all():
            box = picture.bounding_box()
            assert box["width"] > 100
            assert box["height"] > 20
            assert picture.locator("title").first.text_content()
        page.locator("#alpha svg [data-layer=b]").first.hover()
        assert "31" in page.locator("#inspector").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_on_a_phone_in_light_and_dark(browser, run_file, bundle_file, scheme):
    for file in (run_file, bundle_file):
        with page_of(browser, file, viewport={"width": 390, "height": 844}, color_scheme=scheme) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            paper, ink = page.evaluate(
                "(({backgroundColor, color}) => [backgroundColor, color])(getComputedStyle(document.body))"
            )
            light = sum(map(int, paper[4:-1].split(","))) > sum(map(int, ink[4:-1].split(",")))
            assert light == (scheme == "light")


def test_print_opens_the_tables_and_hides_the_inspector(browser, run_file):
    with page_of(browser, run_file) as page:
        page.emulate_media(media="print")
        assert page.locator("#inspector").is_hidden()
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert all(page.locator("details").evaluate_all("all => all.map(each => each.open)"))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_result_opens_on_a_phone_and_is_printed(browser, name, tmp_path):
    file = tmp_path / "result.html"
    result_page(load_result(ONE_OF_EACH[name])).write(file)
    assert file.stat().st_size < 3e6
    with page_of(browser, file, viewport={"width": 390, "height": 844}, color_scheme="dark") as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        sections = page.locator("section").all()
        assert len(sections) >= 2
        for section in sections:
            assert section.is_visible()
            assert section.locator("table, svg").count() > 0
        for picture in page.locator("svg").all():
            assert picture.get_attribute("aria-label")
        page.emulate_media(media="print")
        assert page.locator("h1").is_visible()


def test_pointing_at_a_layer_of_the_suite_shows_its_plan(browser, tmp_path):
    file, spec = tmp_path / "layers.html", layer_suite(2)[0]
    layer = LayerResult(
        spec=spec,
        chosen="fft(tile=8)",
        reason="1.5 times as fast as direct",
        direct_ms=1.5,
        chosen_ms=1.0,
        speedup=1.5,
        low=1.4,
        high=1.6,
    )
    report = LayersReport(
        provenance=Provenance.now(), device="engine", threads=1, seconds=0.5, results=(layer,)
    )
    result_page(report).write(file)
    with page_of(browser, file) as page:
        page.locator(f'svg [data-layer="{spec}"]').hover()
        inspector = page.locator("#inspector")
        assert inspector.locator("h2").inner_text() == str(spec)
        assert layer.chosen in inspector.inner_text()
        assert layer.reason in inspector.inner_text()


def test_pointing_at_a_layer_of_the_second_bundle_shows_its_own_plan(browser, written_bundle, tmp_path):
    other = shutil.copytree(written_bundle, tmp_path / "other")
    plan = json.loads((other / "plan.json").read_text())
    plan["layers"][0]["reason"] = "another reason"
    (other / "plan.json").write_text(json.dumps(plan))
    write_manifest(other, Bundle.load(written_bundle).manifest.model_copy(update={"files": {}}))
    bundles = [Bundle.load(written_bundle), Bundle.load(other)]
    measured, file = measure_latency(bundles, batches=[1], seconds=0.01), tmp_path / "latency.html"
    latency_page(measured, bundles).write(file)
    with page_of(browser, file) as page:
        page.locator(f'tr[data-layer="{other} first"]').hover()
        assert "another reason" in page.locator("#inspector").inner_text()
        page.locator(f'tr[data-layer="{written_bundle} first"]').hover()
        assert "1.5x as fast as direct" in page.locator("#inspector").inner_text()
