"""The console draws what it sends and gets, and takes files: in Chromium, against PyTorch's numbers."""

import base64
import io
import re
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from scipy.io import wavfile

FLOAT = TensorProto.FLOAT
LENGTH = 30
DROP = """([selector, name, coded]) => {
  const bytes = Uint8Array.from(atob(coded), letter => letter.charCodeAt(0)), data = new DataTransfer();
  data.items.add(new File([bytes], name));
  const target = document.querySelector(selector), options = {bubbles: true, cancelable: true, dataTransfer: data};
  target.dispatchEvent(new DragEvent("dragover", options));
  target.dispatchEvent(new DragEvent("drop", options));
}"""
DRAWN = "() => [...document.querySelectorAll('.fitted')].every(place => place.childElementCount)"
LABELS = {
    "gestures": ["wave", "<img src=x onerror=alert(1)>", "a very long name of a class that must wrap"],
    "tags": [f"tag {index}" for index in range(12)],
    "sleep": ["awake", "light", "deep"],
    "segment": ["sky", "road"],
}


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


INPUTS = {
    "gestures": random(1, 2, LENGTH),
    "tags": random(1, 1, LENGTH),
    "sleep": random(1, 2, LENGTH),
    "forecast": random(1, 1, LENGTH),
    "segment": random(1, 3, 8, 10),
    "heat": random(1, 1, 8, 10),
    "eeg": random(1, 20, LENGTH),
}
WEIGHTS = {
    "gestures": random(3, 2, 5),
    "tags": random(12, 1, 5),
    "sleep": random(3, 2, 5),
    "forecast": random(1, 1, 5),
    "segment": random(2, 3, 5, 5),
    "heat": random(1, 1, 5, 5),
    "eeg": random(2, 20, 5),
}
DENSE = ("sleep", "forecast", "segment", "heat")


def network(name, x):
    """What PyTorch says: one convolution, for classes the mean over all positions."""
    x, weights = torch.from_numpy(np.asarray(x, np.float32)), torch.from_numpy(WEIGHTS[name])
    y = (F.conv1d if x.ndim == 3 else F.conv2d)(x, weights, padding=2)
    return (y if name in DENSE else y.flatten(2).mean(2)).numpy()


def write_network(folder, write):
    x, weights = INPUTS[folder.name], WEIGHTS[folder.name]
    spatial = list(x.shape[2:])
    nodes = [helper.make_node("Conv", ["x", "w"], ["conv"], pads=[2] * 2 * len(spatial))]
    if folder.name not in DENSE:
        axes = list(range(2, x.ndim))
        nodes.append(helper.make_node("ReduceMean", ["conv"], ["y"], axes=axes, keepdims=0))
    else:
        nodes.append(helper.make_node("Identity", ["conv"], ["y"]))
    return write.bundle(
        folder,
        nodes,
        [("x", FLOAT, ["batch", *x.shape[1:]])],
        [("y", FLOAT, ["batch", len(weights), *(spatial if folder.name in DENSE else [])])],
        [numpy_helper.from_array(weights, "w")],
        labels=LABELS.get(folder.name, ()),
        multi_label=folder.name == "tags",
        sample={
            "inputs": [{"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}]
        },
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory, write, start_server):
    root = tmp_path_factory.mktemp("networks")
    bundles = [write_network(root / name, write) for name in INPUTS]
    with start_server([*bundles, write.divide(root / "divide"), write.text(root / "text")]) as running:
        yield running.http


@contextmanager
def console(browser, address, model, *, refused=(), **options):
    """The page with `model` chosen; it must log nothing but what Chromium says of `refused`, and ask nobody else."""
    context = browser.new_context(**options)
    page, said, others = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: f"//{address}/" in request.url or others.append(request.url))
    page.goto(f"http://{address}/")
    page.wait_for_selector("#models td")
    page.select_option("#asked", f"{model}/1")
    page.wait_for_selector(f"#inputs[data-model='{model}/1']")
    page.wait_for_function(DRAWN)
    yield page
    context.close()
    # Chromium itself logs every answer of 400 and more; the first model that is shown has no sample.
    statuses = [re.findall(r"status of (\d+)", line) for line in said]
    assert [int(each[0]) if each else said for each in statuses if each != ["404"]] == list(refused)
    assert [url for url in others if not url.startswith("data:")] == []


def send(page):
    page.click("#send")
    page.wait_for_function("() => /^200 in/.test(document.querySelector('#took').textContent)")
    page.wait_for_function(DRAWN)


def drop(page, name, content, selector=".panel"):
    page.evaluate(DROP, [selector, name, base64.b64encode(content).decode()])
    page.wait_for_function("() => !/^(reading|$)/.test(document.querySelector('.said').textContent)")
    return page.inner_text(".said")


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def csv(array):
    return "\n".join(",".join(map(repr, row)) for row in np.asarray(array, float).tolist()).encode()


def wav(signal, rate=8000):
    file = io.BytesIO()
    wavfile.write(file, rate, np.ascontiguousarray(signal.T))
    return file.getvalue()


def shares(page):
    """What the bars say, by label, in percent."""
    names = page.locator("#drawn .bars .name").all_text_contents()
    values = page.locator("#drawn .bars .value").all_text_contents()
    return dict(zip(names, values, strict=True))


def expected_shares(probabilities, labels):
    return {labels[i]: f"{100 * probabilities[i]:.1f} %" for i in np.argsort(-probabilities)}


def test_a_series_has_a_line_for_each_channel_and_classes_have_bars(browser, address):
    with console(browser, address, "gestures") as page:
        assert page.locator("#inputs svg path.line").count() == 2
        assert "2 channels of 30 values" in page.get_attribute("#inputs svg", "aria-label")
        send(page)
        logits = torch.from_numpy(network("gestures", INPUTS["gestures"])[0])
        expected = expected_shares(torch.softmax(logits, 0).numpy(), LABELS["gestures"])
        assert list(shares(page).items()) == list(expected.items()), "the highest first"
        widths = page.eval_on_selector_all(
            ".bars .fill", "all => all.map(each => parseFloat(each.style.width))"
        )
        percent = 100 * torch.softmax(logits, 0).sort(descending=True).values
        assert widths == pytest.approx(percent.tolist(), rel=1e-4)
        assert page.locator("#drawn img").count() == 0, "a label is text"


def test_a_line_is_where_its_values_are(browser, address):
    with console(browser, address, "forecast") as page:
        path = page.get_attribute("#inputs path.line", "d")
        points = np.array([pair.split() for pair in path[1:].split("L")], float)
        assert len(points) == LENGTH
        values = INPUTS["forecast"].ravel()
        assert np.corrcoef(points[:, 1], -values)[0, 1] > 0.9999  # pixels count downwards
        assert np.ptp(np.diff(points[:, 0])) < 0.2, "even steps, but for rounding to a tenth of a pixel"


def test_labels_of_which_a_sample_may_have_many_are_no_shares_of_one(browser, address):
    with console(browser, address, "tags") as page:
        send(page)
        logits = network("tags", INPUTS["tags"])[0]
        expected = expected_shares(1 / (1 + np.exp(-logits)), LABELS["tags"])
        assert list(shares(page).items()) == list(expected.items())[:10]
        assert "2 more" in page.inner_text("#drawn")


def test_a_dense_answer_is_drawn_over_its_input(browser, address):
    with console(browser, address, "sleep") as page:
        send(page)
        assert page.locator("#drawn path.behind").count() == 2
        classes = network("sleep", INPUTS["sleep"])[0].argmax(0)
        runs = 1 + np.count_nonzero(np.diff(classes))
        assert page.locator("#drawn svg rect").count() == runs
        drawn = page.eval_on_selector_all(
            "#drawn svg rect", "all => all.map(each => each.getAttribute('class'))"
        )
        starts = np.flatnonzero(np.diff(classes, prepend=-1))
        assert drawn == [f"area c{classes[start]}" for start in starts]
        page.select_option("#asked", "forecast/1")
        page.wait_for_function("() => document.querySelector('#inputs').dataset.model === 'forecast/1'")
        send(page)
        assert page.locator("#drawn path.behind").count() == 1
        path = page.get_attribute("#drawn path.line:not(.behind)", "d")
        heights = [float(pair.split()[1]) for pair in path[1:].split("L")]
        assert np.corrcoef(heights, -network("forecast", INPUTS["forecast"]).ravel())[0, 1] > 0.9999


PIXELS = "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"


def test_an_image_is_a_picture_and_its_answer_lies_over_it(browser, address):
    with console(browser, address, "segment") as page:
        image = INPUTS["segment"][0]
        pixels = np.reshape(page.eval_on_selector("#inputs canvas", PIXELS), (8, 10, 4))
        shades = 255 * (image - image.min()) / np.ptp(image)
        np.testing.assert_allclose(pixels[..., :3], shades.transpose(1, 2, 0), atol=0.51)
        send(page)
        assert page.locator("#drawn canvas").count() == 2
        masked = np.reshape(page.eval_on_selector("#drawn figure:last-child canvas", PIXELS), (8, 10, 4))[
            ..., :3
        ]
        below = shades.mean(0)[..., None]
        over = (masked - 0.45 * below) / 0.55  # the color of the class, since the mask's opacity is 0.55
        classes = network("segment", INPUTS["segment"])[0].argmax(0)
        colors = [over[classes == each].mean(0) for each in (0, 1)]
        np.testing.assert_allclose(over, np.choose(classes[..., None], colors), atol=2)
        assert np.abs(colors[0] - colors[1]).max() > 50
        assert page.locator("#drawn .legend li").all_text_contents() == LABELS["segment"]


def test_numbers_over_an_image_are_a_map_of_heat(browser, address):
    with console(browser, address, "heat") as page:
        send(page)
        answer = network("heat", INPUTS["heat"])[0, 0]
        heat = np.reshape(page.eval_on_selector("#drawn figure:last-child canvas", PIXELS), (8, 10, 4))
        brightness = heat[..., :3].sum(-1)
        assert brightness[np.unravel_index(answer.argmax(), answer.shape)] > 500
        assert brightness[np.unravel_index(answer.argmin(), answer.shape)] < 250


def test_many_channels_have_a_strip_each(browser, address):
    with console(browser, address, "eeg") as page:
        assert page.locator("#inputs path.line").count() == 16
        assert "4 more are not drawn" in page.inner_text("#inputs")


def test_numbers_and_text_are_said(browser, address):
    with console(browser, address, "text") as page:
        send(page)
        assert page.locator("#drawn li").all_text_contents() == ["text"] * 3
        page.select_option("#asked", "divide/1")
        page.wait_for_selector("#inputs[data-model='divide/1']")
        a, b = (float(page.inner_text(f"[data-input={name}] .number")) for name in "ab")
        send(page)
        assert float(page.inner_text("[data-output=sum] .number")) == pytest.approx(a + b, rel=1e-3)


SERIES = random(2, LENGTH) / 8
FILES = [
    ("table.csv", csv(SERIES), SERIES, "table.csv"),
    ("table.csv", csv(SERIES.T), SERIES, "table.csv: read as length by channels, and transposed"),
    ("array.npy", npy(SERIES), SERIES, "array.npy"),
    ("array.npy", npy(SERIES.T.astype(">f8")), SERIES, "array.npy: read as length by channels, and transposed"),
    ("sound.wav", wav(SERIES), SERIES, "sound.wav: 30 samples at 8000 Hz, not resampled"),
    ("SOUND.WAV", wav((SERIES * 32768).astype(np.int16)), np.trunc(SERIES * 32768) / 32768, "30 samples at 8000 Hz"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "series", "said"), FILES)
def test_a_dropped_file_becomes_the_input(browser, address, name, content, series, said):
    with console(browser, address, "gestures") as page:
        assert said in drop(page, name, content)
        send(page)
        logits = torch.from_numpy(network("gestures", series[None])[0])
        assert shares(page) == expected_shares(torch.softmax(logits, 0).numpy(), LABELS["gestures"])
        answer = np.array(re.findall(r'"data":\[(.*?)\]', page.text_content("#answer"))[0].split(","), float)
        np.testing.assert_allclose(answer, logits.numpy(), rtol=0, atol=1e-5 * np.abs(logits.numpy()).max())


def test_a_file_is_chosen_by_hand_and_samples_are_leafed_through(browser, address):
    many = random(3, 2, LENGTH)
    with console(browser, address, "gestures") as page:
        file = {"name": "many.npy", "mimeType": "application/octet-stream", "buffer": npy(many)}
        page.set_input_files("input[type=file]", file)
        page.wait_for_function("() => document.querySelector('#rows').textContent === '3'")
        send(page)
        logits = torch.softmax(torch.from_numpy(network("gestures", many)), 1).numpy()
        for row in (1, 3):
            page.fill("#row", str(row))
            assert shares(page) == expected_shares(logits[row - 1], LABELS["gestures"])


def test_a_file_is_dropped_on_one_of_several_inputs(browser, address):
    with console(browser, address, "divide") as page:
        drop(page, "a.csv", b"6", "[data-input=a]")
        page.evaluate(DROP, ["[data-input=b] .drawing", "b.csv", base64.b64encode(b"4").decode()])
        page.wait_for_function("() => document.querySelector('[data-input=b] .said').textContent === 'b.csv'")
        send(page)
        assert page.inner_text("[data-output=quotient] .number") == "1.5"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("short.csv", csv(random(2, 29)), "short.csv: it holds 2 x 29 values, the input x takes 2 x 30 (channels"),
        ("long.wav", wav(random(2, 44100), 44100), "it holds 2 x 44100 values"),
        ("mono.wav", wav(random(1, 30)), "it holds 1 x 30 values"),
        ("words.csv", b"a,b\n1,2\n3,c\n", "line 3, cell 2 is not a number: c"),
        ("arrays.npz", b"PK", "save one as .npy"),
        ("photo.png", b"\x89PNG", "give a CSV, .npy or WAV file"),
        ("holes.npy", npy(np.full((2, 30), np.nan)), "value 1 is NaN"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused_in_a_line(browser, address, name, content, line):
    with console(browser, address, "gestures") as page:
        before = page.input_value("#request")
        said = drop(page, name, content)
        assert line in said
        assert "\n" not in said
        assert page.input_value("#request") == before


def test_a_request_by_hand_is_drawn_and_a_refused_one_is_said(browser, address):
    with console(browser, address, "gestures", refused=[400]) as page:
        page.click("#as-json summary")
        request = page.input_value("#request")
        page.fill("#request", "no JSON")
        assert "holds no such input" in page.inner_text("#inputs")
        page.fill("#request", request)
        page.wait_for_function(DRAWN)
        assert page.locator("#inputs path.line").count() == 2
        page.fill("#request", request.replace('"x"', '"z"'))
        with page.expect_response("**/infer") as response:
            page.click("#send")
        assert response.value.status == 400
        page.wait_for_selector("#drawn [role=alert]")
        assert "z" in page.inner_text("#drawn [role=alert]")


def test_the_keyboard_reaches_all_controls_and_each_has_a_name(browser, address):
    with console(browser, address, "gestures") as page:
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("input, select, textarea, button")]
              .filter(each => !each.textContent.trim() && !each.labels?.length && !each.getAttribute("aria-label"))
              .map(each => each.outerHTML)"""
        )
        assert unnamed == []
        page.focus("#asked")
        reached = []
        for _ in range(6):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.type"))
        assert reached == ["file", "send", "sample", "random", "classes", reached[5]]
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
        page.focus("#send")
        page.keyboard.press("Enter")
        page.wait_for_selector("#drawn .bars")


@pytest.mark.parametrize("model", [*INPUTS, "divide", "text"])
def test_every_drawing_fits_a_phone(browser, address, model):
    with console(browser, address, model, viewport={"width": 360, "height": 740}) as page:
        send(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for drawing in page.locator(".fitted svg, canvas").all():
            box = drawing.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360
            assert box["width"] > 60


def test_the_page_allows_nothing_but_its_own_files(browser, address):
    with console(browser, address, "gestures") as page:
        loaded = page.evaluate(
            "performance.getEntriesByType('resource').map(entry => new URL(entry.name).pathname)"
        )
        files = [path for path in loaded if path.startswith("/console/")]
        assert len(files) >= 15
    policy = httpx.get(f"http://{address}/").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    for path in files:
        assert httpx.get(f"http://{address}{path}").headers["x-content-type-options"] == "nosniff"
    assert httpx.get(f"http://{address}/console/nothing.js").status_code == 404
