"""The console page in a real browser: Chromium, headless, driven by Playwright."""

import json
import threading
from contextlib import contextmanager

import httpx
import pytest

SECONDS = 1000.0


@contextmanager
def page_of(browser, address, **options):
    """A page that must not log an error nor ask anybody but the server."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(30 * SECONDS)
    errors, others = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: f"//{address}/" in request.url or others.append(request.url))
    page.goto(f"http://{address}/")
    yield page
    context.close()
    assert errors == []
    assert [url for url in others if not url.startswith("data:")] == []


def wait_for_text(page, selector, text):
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector).textContent.includes(text)",
        arg=[selector, text],
    )


def test_shows_the_models_and_sends_a_request(browser, server):
    with page_of(browser, server) as page:
        wait_for_text(page, "#state", "ready")
        wait_for_text(page, "#models", "double")
        assert "identity" in page.inner_text("#models")
        page.select_option("#asked", "double/1")
        page.wait_for_function("() => document.querySelector('#request').value.includes('\"x\"')")
        asked = json.loads(page.input_value("#request"))
        assert asked["inputs"][0]["data"] == [5, 6, 8, 7], "the bundle's sample"
        for summary in ("#as-json", "#answer-json"):
            page.click(f"{summary} summary")
        page.check("#classes")
        page.click("#send")
        wait_for_text(page, "#answer", "16.000000:2:two")
        page.uncheck("#classes")
        page.click("#random")
        page.wait_for_function("() => !document.querySelector('#request').value.includes('[5, 6, 8, 7]')")
        asked = json.loads(page.input_value("#request"))
        page.click("#send")
        wait_for_text(page, "#took", "200 in")
        answer = json.loads(page.inner_text("#answer"))
        expected = [2 * value for value in asked["inputs"][0]["data"]]
        assert answer["outputs"][0]["data"] == pytest.approx(expected, rel=1e-6)
        page.fill("#request", "{")
        page.click("#send")
        wait_for_text(page, "#took", "400 in")
        assert "failed to parse" in page.inner_text("#answer")


def test_the_charts_follow_the_traffic(browser, server):
    stop = threading.Event()

    def load():
        tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
        with httpx.Client(base_url=f"http://{server}") as client:
            while not stop.wait(0.01):
                client.post("/v2/models/double/infer", json={"inputs": [tensor]}).raise_for_status()

    thread = threading.Thread(target=load)
    thread.start()
    try:
        with page_of(browser, server) as page:
            wait_for_text(page, "#models", "double")
            page.select_option("#charted", "double/1")
            page.wait_for_function(
                "() => Number(document.querySelector('#throughput-value').textContent) > 0"
            )
            wait_for_text(page, "#batch-value", "mean 1")
            path = page.get_attribute("#throughput path:last-child", "d")
            assert path.startswith("M")
            assert page.locator("#batch rect").count() > 3
    finally:
        stop.set()
        thread.join()


def test_readable_on_a_phone_and_in_the_dark(browser, server):
    def background(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    phone = {"width": 360, "height": 740}
    with page_of(browser, server, viewport=phone, color_scheme="light") as page:
        wait_for_text(page, "#models", "double")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        light = background(page)
    with page_of(browser, server, viewport=phone, color_scheme="dark") as page:
        wait_for_text(page, "#models", "double")
        assert background(page) != light


def test_asks_for_the_api_key(browser, tmp_path, write, start_server):
    bundles = [write.double(tmp_path / "double")]
    with (
        start_server(bundles, api_keys=["secret"]) as running,
        page_of(browser, running.http) as page,
    ):
        wait_for_text(page, "#state", "an API key is needed")
        page.fill("#key", "secret")
        page.click("#key-form button")
        wait_for_text(page, "#models", "double")
        assert page.is_hidden("#key-section")


def test_says_when_the_server_is_gone(browser, tmp_path, write, start_server):
    bundles = [write.double(tmp_path / "double")]
    with start_server(bundles) as running, page_of(browser, running.http) as page:
        wait_for_text(page, "#models", "double")
        running.process.kill()
        wait_for_text(page, "#state", "no answer")


def test_the_cost_by_batch_is_drawn_as_measured(browser, tmp_path, write, start_server):
    bundles = [write.double(tmp_path / "double"), write.gather(tmp_path / "gather")]
    with (
        start_server(bundles, cost_grows=0.004, max_rows=4) as running,
        page_of(browser, running.http) as page,
    ):
        page.select_option("#charted", "double/1")
        wait_for_text(page, "#curve-value", "alone, batches to 1")
        config = httpx.get(f"http://{running.http}/v2/models/double/config").json()
        costs = json.loads(config["parameters"]["ms_per_sample_by_batch"]["string_value"])
        assert page.locator("#curve text").all_text_contents() == list(costs) == ["1", "2", "4"]
        heights = page.eval_on_selector_all(
            "#curve rect", "all => all.map(bar => Number(bar.getAttribute('height')))"
        )
        expected = [80 * cost / max(costs.values()) for cost in costs.values()]
        assert heights == pytest.approx(expected, rel=1e-6)
