"""The pages' readers of files, in Chromium, against NumPy, SciPy and soundfile."""

import base64
import io

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

READ = """async ([module, name, coded, text]) => {
  const bytes = Uint8Array.from(atob(coded), letter => letter.charCodeAt(0));
  const read = (await import(`/${module}.js`))[name];
  try {
    const {shape, values, notes} = read(text ? new TextDecoder().decode(bytes) : bytes.buffer);
    return {shape, values: Array.from(values), notes};
  } catch (error) {
    return {error: error.message};
  }
}"""
FIT = """async ([array, spec]) => {
  const {fitInput} = await import("/fit_input.js");
  try {
    return fitInput({notes: [], ...array}, spec);
  } catch (error) {
    return {error: error.message};
  }
}"""
QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def read(page):
    def read(module, name, content, *, text=False):
        return page.evaluate(READ, [module, name, base64.b64encode(content).decode(), text])

    return read


@pytest.fixture(scope="module")
def read_npy(read):
    return lambda content: read("read_npy", "readNpy", content)


@pytest.fixture(scope="module")
def read_wav(read):
    return lambda content: read("read_wav", "readWav", content)


@pytest.fixture(scope="module")
def read_csv(read):
    return lambda content: read("read_csv", "readCsv", content.encode(), text=True)


@pytest.fixture(scope="module")
def fit(page):
    def fit(shape, wanted, *, values=None, datatype="FP32"):
        count = int(np.prod(shape))
        array = {"shape": list(shape), "values": list(range(count)) if values is None else values}
        return page.evaluate(FIT, [array, {"name": "x", "datatype": datatype, "shape": list(wanted)}])

    return fit


def saved(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


NUMBERS = st.one_of(
    arrays.floating_dtypes(sizes=(16, 32, 64), endianness="?"),
    arrays.integer_dtypes(sizes=(8, 16, 32), endianness="?"),
    arrays.unsigned_integer_dtypes(sizes=(8, 16, 32), endianness="?"),
    arrays.boolean_dtypes(),
)


@QUICK
@given(
    array=NUMBERS.flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, max_side=5))
    ),
    fortran=st.booleans(),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_npy_is_what_numpy_saved(read_npy, array, fortran, version):
    given = np.asfortranarray(array) if fortran and array.ndim else array
    got = read_npy(saved(given, version=version))
    assert got["shape"] == list(array.shape)
    # Doubles hold every value of these types, so that nothing is rounded.
    np.testing.assert_array_equal(np.array(got["values"], np.float64), array.astype(np.float64).ravel())


@pytest.mark.parametrize("dtype", ["<i8", ">i8", "<u8"])
def test_npy_of_long_integers(read_npy, dtype):
    values = np.array([0, 1, 2**53 - 1], dtype)
    assert read_npy(saved(values))["values"] == values.tolist()
    assert "cannot hold" in read_npy(saved(np.array([2**53], dtype)))["error"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04 and more than twelve bytes", "not a .npy file"),
        (b"", "not a .npy file"),
        (saved(np.ones(9))[:-1], "cut short"),
        (saved(np.ones(9))[:40], "cut short"),
        (saved(np.array(["a"])), "save numbers"),
        (saved(np.ones(2, complex)), "save numbers"),
        (saved(np.zeros(2, [("a", "f4"), ("b", "i4")])), "save one plain array"),
    ],
)
def test_npy_that_is_none_is_refused(read_npy, content, reason):
    assert reason in read_npy(content)["error"]


@QUICK
@given(
    dtype=st.sampled_from(["u1", "<i2", "<i4", "<f4", "<f8"]),
    channels=st.integers(1, 3),
    frames=st.integers(1, 50),
    seed=st.integers(0, 9),
)
def test_wav_is_what_scipy_wrote(read_wav, dtype, channels, frames, seed):
    generator, kind = np.random.default_rng(seed), np.dtype(dtype)
    if kind.kind == "f":
        written = generator.standard_normal((frames, channels)).astype(kind)
        expected = written.astype(np.float64)
    else:
        limits = np.iinfo(kind)
        written = generator.integers(limits.min, limits.max, (frames, channels), dtype=kind, endpoint=True)
        half = 2.0 ** (8 * kind.itemsize - 1)
        expected = (written - (half if kind.kind == "u" else 0.0)) / half
    file = io.BytesIO()
    wavfile.write(file, 8000, written)
    got = read_wav(file.getvalue())
    assert got["shape"] == [channels, frames]
    assert got["notes"] == [f"{frames} samples at 8000 Hz, not resampled"]
    np.testing.assert_array_equal(np.array(got["values"]).reshape(channels, frames), expected.T)


@pytest.mark.parametrize("format", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_is_what_libsndfile_reads(read_wav, format, subtype):
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    soundfile.write(
        file, np.random.default_rng(0).uniform(-1, 1, (37, 2)), 16000, format=format, subtype=subtype
    )
    file.seek(0)
    expected, _ = soundfile.read(file, dtype="float64")
    got = read_wav(file.getvalue())
    np.testing.assert_array_equal(np.array(got["values"]).reshape(2, 37), expected.T)


def test_wav_that_is_none_is_refused(read_wav):
    soundfile = pytest.importorskip("soundfile")

    def written(subtype, samples=100):
        file = io.BytesIO()
        soundfile.write(file, np.zeros(samples), 8000, format="WAV", subtype=subtype)
        return file.getvalue()

    assert "not a WAV file" in read_wav(b"RIFX....WAVE")["error"]
    assert "mu-law" in read_wav(written("ULAW"))["error"]
    assert read_wav(written("PCM_16")[:-10])["error"] == "the file is cut short: 190 of 200 bytes are there"
    assert "cut short" in read_wav(written("PCM_16")[:30])["error"]
    assert "empty" in read_wav(written("PCM_16", 0))["error"]
    # A program that writes to a pipe cannot go back to the header: its sizes say nothing.
    streamed = bytearray(written("PCM_16"))
    streamed[40:44] = b"\xff\xff\xff\xff"
    assert read_wav(bytes(streamed))["shape"] == [1, 100]


@QUICK
@given(
    table=arrays.arrays(
        np.float64,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    ),
    separator=st.sampled_from([",", ";", "\t", " ", ", "]),
    newline=st.sampled_from(["\n", "\r\n"]),
    header=st.booleans(),
)
def test_csv_is_what_was_written(read_csv, table, separator, newline, header):
    lines = [separator.join(map(repr, row)) for row in table.tolist()]
    names = separator.join(f'"c{i}"' for i in range(table.shape[1]))
    got = read_csv(newline.join([names] * header + lines) + newline)
    assert got["shape"] == list(table.shape)
    assert got["notes"] == ["the first line is a header"] * header
    np.testing.assert_array_equal(np.array(got["values"], np.float64), table.ravel())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty"),
        ("# only a comment\n\n", "the file is empty"),
        ("1,2\n3\n", "line 2 has 1 cells, line 1 has 2"),
        ("1,2\n\n3,x\n", "line 3, cell 2 is not a number: x"),
        ("1,2\n3,\n", "line 2, cell 2 is empty: fill it in"),
        ("1,5;2\n3;4\n", "line 1, cell 1 is 1,5: write decimals with a point"),
        ("1,nan\n", "line 1, cell 2 is not a number: nan"),
        ("a,1\n2,3\n", "line 1, cell 1 is not a number: a"),
    ],
)
def test_csv_that_is_none_is_refused(read_csv, text, reason):
    assert read_csv(text)["error"] == reason


@pytest.mark.parametrize(
    ("shape", "wanted", "fitted", "note"),
    [
        ((2, 5), (-1, 2, 5), (1, 2, 5), None),
        ((5, 2), (-1, 2, 5), (1, 2, 5), "length by channels"),
        ((5, 1), (-1, 1, 5), (1, 1, 5), "length by channels"),
        ((5,), (-1, 1, 5), (1, 1, 5), None),
        ((5,), (1, 5), (1, 5), None),
        ((3, 2, 5), (-1, 2, 5), (3, 2, 5), None),
        ((3, 5, 2), (-1, 2, 5), (3, 2, 5), "length by channels"),
        ((3, 5), (-1, 1, 5), (3, 1, 5), "3 samples of one channel"),
        ((2, 2), (-1, 2, 2), (1, 2, 2), None),
        ((7, 2), (-1, 2, -1), (1, 2, 7), "length by channels"),
        ((2, 7), (-1, 2, -1), (1, 2, 7), None),
        ((4, 5), (-1, 1, 4, 5), (1, 1, 4, 5), None),
        ((4, 5, 3), (-1, 3, 4, 5), (1, 3, 4, 5), "height by width by channels"),
        ((2, 4, 5, 3), (-1, 3, 4, 5), (2, 3, 4, 5), "height by width by channels"),
        ((4,), (4,), (4,), None),
        ((), (1,), (1,), None),
    ],
)
def test_an_array_fits_in_one_way(fit, shape, wanted, fitted, note):
    got = fit(shape, wanted)
    assert tuple(got["shape"]) == fitted
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    if note and "by" in note:
        array = np.moveaxis(array, -1, len(shape) - len(wanted) + 1)
        assert "transposed" in got["notes"][0]
    np.testing.assert_array_equal(np.array(got["values"]), array.ravel())
    assert [note in said for said in got["notes"]] == ([True] if note else [])


@pytest.mark.parametrize(
    ("shape", "wanted", "reason"),
    [
        ((2, 6), (-1, 2, 5), "it holds 2 x 6 values, the input x takes 2 x 5 (channels x length): cut or resample"),
        ((1, 44100), (-1, 1, 16000), "nothing is resampled here"),
        ((3, 2, 5), (1, 2, 5), "it holds 3 x 2 x 5"),
        ((3, 5), (1, 1, 5), "it holds 3 x 5"),
        ((1, 1, 2, 5), (-1, 2, 5), "it holds 1 x 1 x 2 x 5"),
        ((0, 2), (-1, 2), "the array is empty"),
    ],
)  # fmt: skip
def test_an_array_of_another_shape_is_refused(fit, shape, wanted, reason):
    assert reason in fit(shape, wanted)["error"]


@pytest.mark.parametrize(
    ("datatype", "values", "outcome"),
    [
        ("FP32", [0.1, 1e-8, -3.4e38], np.float32([0.1, 1e-8, -3.4e38]).tolist()),
        ("FP64", [0.1, 1e-8, -3.4e38], [0.1, 1e-8, -3.4e38]),
        ("FP32", [1, float("nan"), 2], "value 2 is NaN"),
        ("INT64", [1, 2, 2.5], "value 3 is 2.5; the input takes whole numbers"),
        ("UINT8", [0, 255, 256], "value 3 is 256"),
        ("BOOL", [0, 1, 1], [False, True, True]),
        ("BYTES", [1, 2, 3], "takes text"),
    ],
)
def test_values_become_those_of_the_input(fit, datatype, values, outcome):
    got = fit((1, 3), (-1, 3), values=values, datatype=datatype)
    if isinstance(outcome, str):
        assert outcome in got["error"]
    elif datatype == "FP32":
        assert np.float32(got["values"]).tolist() == outcome
    else:
        assert got["values"] == outcome
