"""The site in Chromium, from a plain server of files: against PyTorch, without errors, without another origin."""

import base64
import functools
import http.server
import io
import json
import re
import shutil
import threading
from contextlib import contextmanager

import numpy as np
import onnx
import pytest
import torch
from scipy.io import wavfile

from dashdeploy.export.web.write_site import write_site
from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES

MISSING = ONNX_ENGINES[EngineName.ORT_WEB].missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
LENGTH = 128
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
DROP = """([name, coded]) => {
  const bytes = Uint8Array.from(atob(coded), letter => letter.charCodeAt(0)), data = new DataTransfer();
  data.items.add(new File([bytes], name));
  const options = {bubbles: true, cancelable: true, dataTransfer: data};
  document.body.dispatchEvent(new DragEvent("drop", options));
}"""


class Files(http.server.SimpleHTTPRequestHandler):
    """Sends files as a server does that knows no type but those of HTML, JavaScript and CSS."""

    extensions_map = {  # noqa: RUF012 - as the class that it is from
        "": "application/octet-stream",
        ".html": "text/html",
        ".js": "text/javascript",
        ".css": "text/css",
    }
    headers_besides = None

    def end_headers(self):
        for name, value in (self.headers_besides or {}).items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(searched, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web") / "site"
    written = write_site(searched.bundle, folder)
    # So small a network may be faster direct; what is to be seen here is the compiled one.
    (folder / "site.json").write_text(
        written.model_copy(update={"uses": "compiled"}).model_dump_json(indent=2)
    )
    return folder


@contextmanager
def served(folder, headers=None):
    kind = type("Served", (Files,), {"headers_besides": headers})
    handler = functools.partial(kind, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def opened(browser, address, **options):
    """The page after its first prediction; it must log nothing and ask nobody else."""
    context = browser.new_context(**options)
    page, said, others = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    context.on(
        "request", lambda request: request.url.startswith((address, "data:")) or others.append(request.url)
    )
    page.goto(address)
    predicted(page, 1)
    yield page
    context.close()
    assert said == []
    assert others == []


def predicted(page, count):
    page.wait_for_function(
        f"() => document.body.dataset.predictions === '{count}' || document.querySelector('.bad')?.textContent"
    )
    assert page.locator(".bad").all_text_contents() == []


def logits(page):
    (output,) = json.loads(page.text_content("#answer"))["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def expected(searched, x):
    with torch.inference_mode():
        return searched.network(torch.from_numpy(np.asarray(x, np.float32))).numpy()


def assert_agrees(got, reference):
    # The tolerance of every engine in float32: 1e-5 of the largest output.
    np.testing.assert_allclose(got, reference, rtol=0, atol=1e-5 * np.abs(reference).max())


@contextmanager
def predicting(page):
    """What is done within leads to one more prediction, which is waited for."""
    before = int(page.evaluate("() => document.body.dataset.predictions"))
    yield
    predicted(page, before + 1)


def drop(page, name, content):
    with predicting(page):
        page.evaluate(DROP, [name, base64.b64encode(content).decode()])


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_predicts_what_pytorch_predicts(browser, searched, site):
    with served(site) as address, opened(browser, address) as page:
        sample = searched.bundle.sample()["input"]
        assert_agrees(logits(page), expected(searched, sample))
        assert page.inner_text("#name") == "bundle"
        assert page.locator("#inputs svg path.line").count() == 2
        shares = torch.softmax(torch.from_numpy(expected(searched, sample)[0]), 0).numpy()
        order = np.argsort(-shares)
        assert page.locator("#drawn .name").all_text_contents() == [searched.labels[i] for i in order]
        assert page.locator("#drawn .value").all_text_contents() == [
            f"{100 * shares[i]:.1f} %" for i in order
        ]
        assert page.locator("#drawn b").count() == 0, "a label is text"
        assert float(page.evaluate("() => document.body.dataset.firstPrediction")) < 30


def test_a_dropped_file_is_predicted(browser, searched, site):
    series = (np.random.default_rng(1).standard_normal((2, LENGTH)) / 8).astype(np.float32)
    sound = io.BytesIO()
    wavfile.write(sound, 8000, series.T)
    text = "\n".join(",".join(map(repr, row)) for row in series.T.tolist())
    many = np.random.default_rng(2).standard_normal((3, 2, LENGTH)).astype(np.float32)
    with served(site) as address, opened(browser, address) as page:
        page.wait_for_selector("#state.good")
        for name, content, x, said in (
            ("table.csv", text.encode(), series[None], "table.csv: read as length by channels, and transposed"),
            ("array.npy", npy(series), series[None], "array.npy"),
            ("sound.wav", sound.getvalue(), series[None], "sound.wav: 128 samples at 8000 Hz, not resampled"),
            ("many.npy", npy(many), many, "many.npy"),
        ):  # fmt: skip
            with predicting(page):
                page.click("#sample")
            assert page.text_content(".said") == ""
            drop(page, name, content)
            assert page.inner_text(".said") == said
            assert_agrees(logits(page), expected(searched, x))
        page.fill("#row", "3")
        shares = torch.softmax(torch.from_numpy(expected(searched, many)[2]), 0).numpy()
        assert page.locator("#drawn .value").first.text_content() == f"{100 * shares.max():.1f} %"


def test_what_does_not_fit_is_said_and_the_prediction_stays(browser, site):
    with served(site) as address, opened(browser, address) as page:
        page.wait_for_selector("#state.good")
        before = page.text_content("#answer")
        page.evaluate(DROP, ["short.csv", base64.b64encode(b"1,2,3").decode()])
        page.wait_for_selector(".said.bad")
        assert "it holds 1 x 3 values, the input input takes 2 x 128" in page.inner_text(".said")
        assert page.text_content("#answer") == before
        page.click("#sample")
        page.wait_for_function("() => !document.querySelector('.said').textContent")


def test_latency_is_measured_by_turns(browser, site):
    with served(site) as address, opened(browser, address) as page:
        page.wait_for_function(
            "() => document.querySelector('#how').textContent && !document.querySelector('#measure').disabled"
        )
        times = page.eval_on_selector_all(
            "#latency li", "all => all.map(each => [each.dataset.model, Number(each.dataset.ms)])"
        )
        assert [name for name, _ in times] == ["compiled", "direct"]
        compiled, direct = (ms for _, ms in times)
        assert float(page.get_attribute("#ratio", "data-ratio")) == pytest.approx(direct / compiled)
        assert " times as " in page.inner_text("#ratio")
        assert re.search(r"Medians of \d+ (times \d+ )?runs by turns", page.inner_text("#how"))
        assert "with 1 thread;" in page.inner_text("#how")
        page.click("#measure")
        page.wait_for_function("() => document.querySelector('#measure').disabled")
        page.wait_for_function("() => !document.querySelector('#measure').disabled")


def test_threads_where_the_page_is_isolated(browser, searched, site):
    with served(site, ISOLATED) as address, opened(browser, address) as page:
        assert page.evaluate("() => crossOriginIsolated")
        cores = page.evaluate("() => navigator.hardwareConcurrency")
        assert_agrees(logits(page), expected(searched, searched.bundle.sample()["input"]))
        page.wait_for_function("() => document.querySelector('#how').textContent")
        threads = min(4, cores)
        assert f"with {threads} thread{'s' if threads > 1 else ''};" in page.inner_text("#how")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_on_a_phone_and_from_a_folder_below(browser, site, scheme):
    phone = {"width": 360, "height": 740}
    with (
        served(site.parent) as address,
        opened(browser, f"{address}site/", viewport=phone, color_scheme=scheme) as page,
    ):
        page.wait_for_function("() => document.querySelector('#how').textContent")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
        paper, ink = page.evaluate(
            "() => (({backgroundColor, color}) => [backgroundColor, color])(getComputedStyle(document.body))"
        )
        brightness = [sum(map(int, color[4:-1].split(","))) for color in (paper, ink)]
        assert (brightness[0] > brightness[1]) == (scheme == "light")


def test_predicts_with_the_direct_model_where_that_is_the_faster_one(browser, searched, site, tmp_path):
    other = shutil.copytree(site, tmp_path / "other")
    text = (other / "site.json").read_text()
    (other / "site.json").write_text(text.replace('"uses": "compiled"', '"uses": "direct"'))
    # Another network of the same inputs, so that it shows which one predicts.
    model = onnx.load(other / "model.onnx")
    negated = model.graph.node.add()
    negated.op_type = "Neg"
    model.graph.node[-2].output[0] = "plain"
    negated.input.append("plain")
    negated.output.append(model.graph.output[0].name)
    onnx.save(model, other / "model.onnx")
    with served(other) as address, opened(browser, address) as page:
        assert_agrees(logits(page), expected(searched, searched.bundle.sample()["input"]))
        page.wait_for_function("() => document.querySelector('#how').textContent")


def test_a_missing_file_is_named(browser, site, tmp_path):
    broken = shutil.copytree(site, tmp_path / "broken")
    (broken / "model.onnx").unlink()
    with served(broken) as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#state.bad")
        assert page.inner_text("#state") == "/model.onnx is missing: 404"
        page.close()
