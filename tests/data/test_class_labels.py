"""Classes under any name: what they become, what is said of them, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashdeploy.data.catalog import load_task
from dashdeploy.data.class_labels import classes_of, plain_text
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.errors import InputError

INDICES = np.arange(60) % 3
TEST = INDICES[:12]


def arrays(values, labels=None, **changes):
    """Data whose classes 0, 1, 2 are called `values`."""
    values = np.asarray(values)
    x = np.random.default_rng(0).standard_normal((60, 2, 16))
    made = {"x_train": x, "y_train": values[INDICES], "x_test": x[:12], "y_test": values[TEST]}
    return made | ({} if labels is None else {"labels": np.asarray(labels)}) | changes


def task_of(made, **options):
    return task_from_arrays("mine", "mine.npz", made, DataOptions(**options))


FORMS = {
    "text": (["cow", "ape", "bee"], ("ape", "bee", "cow"), [2, 0, 1], "the classes are text"),
    "text of Python's own": (
        np.array(["cow", "ape", "bee"], object),
        ("ape", "bee", "cow"),
        [2, 0, 1],
        "the classes are text",
    ),
    "bytes": ([b"cow", b"ape", b"b\xe9"], ("ape", "bé", "cow"), [2, 0, 1], "the classes are text"),
    "from 1": ([1, 2, 3], ("1", "2", "3"), [0, 1, 2], "numbers other than 0, 1, 2, …"),
    "with gaps": ([7, 2**40, 0], ("0", "7", str(2**40)), [1, 2, 0], "numbers other than 0, 1, 2, …"),
    "-1 and +1": ([-1, 1, 1], ("-1", "1"), [0, 1, 1], "the model's 2 labels are -1, 1"),
    "floats": ([2.0, 4.0, -6.0], ("-6", "2", "4"), [1, 2, 0], "numbers other than 0, 1, 2, …"),
    "booleans": ([True, False, True], ("False", "True"), [1, 0, 1], "the classes are booleans"),
    "bytes of 8 bit": (np.array([255, 0, 128], np.uint8), ("0", "128", "255"), [2, 0, 1], "numbers other"),
    "indices": ([0, 1, 2], ("0", "1", "2"), [0, 1, 2], None),
    "indices as floats": ([0.0, 1.0, 2.0], ("0", "1", "2"), [0, 1, 2], None),
}


@pytest.mark.parametrize(("values", "labels", "indices", "said"), FORMS.values(), ids=FORMS)
def test_what_classes_become(values, labels, indices, said):
    task = task_of(arrays(values))
    assert (task.labels, task.outputs) == (labels, len(labels))
    np.testing.assert_array_equal(task.test.targets, np.array(indices)[TEST])
    assert task.test.targets.dtype == task.train.targets.dtype
    assert len(task.notes) == (said is not None)
    assert said is None or said in task.notes[0]


def test_files_and_factories_hold_them_as_well(tmp_path, monkeypatch):
    made = arrays(["cow", "ape", "bee"])
    np.savez(tmp_path / "mine.npz", **made)
    (tmp_path / "folder").mkdir()
    for name, array in made.items():
        np.save(tmp_path / "folder" / f"{name}.npy", array)
    (tmp_path / "text_classes.py").write_text(
        "import numpy as np\ndef named():\n    return dict(np.load('mine.npz'))\n"
        "def listed():\n    return {name: array.tolist() for name, array in named().items()}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for task in (
        load_data("mine.npz"),
        load_data("folder"),
        load_task("text_classes:named"),
        load_task("text_classes:listed"),
    ):
        assert task.labels == ("ape", "bee", "cow")
        np.testing.assert_array_equal(task.test.targets, np.array([2, 0, 1])[TEST])


def test_the_record_of_objects_is_of_their_text():
    """An object array's bytes are addresses, which another process has elsewhere."""
    text, objects = (
        task_of(arrays(np.array(["cow", "ape", "bee"], dtype))).source["sha256"] for dtype in ("U3", object)
    )
    assert text == objects


NAMED = {
    "indices": ([0, 1, 2], ["c", "a", "b"], ("c", "a", "b"), [0, 1, 2], None),
    "text in the names' order": (["a", "b", "c"], ["c", "a", "b"], ("c", "a", "b"), [1, 2, 0], None),
    "numbers that are names": ([5, 6, 7], [7, 5, 6], ("7", "5", "6"), [1, 2, 0], None),
    "from 1, in sorted order": (
        [1, 2, 3],
        ["c", "a", "b"],
        ("c", "a", "b"),
        [0, 1, 2],
        "1 is c, 2 is a, 3 is b",
    ),
    "the last is not there": (
        [0, 1, 1],
        ["c", "a", "b"],
        ("c", "a"),
        [0, 1, 1],
        "has the class b: the model",
    ),
    "the first is not there": (
        [1, 2, 2],
        ["c", "a", "b"],
        ("a", "b"),
        [0, 1, 1],
        "has the class c: the model",
    ),
    "text, one is not there": (
        ["a", "b", "b"],
        ["b", "z", "a"],
        ("b", "a"),
        [1, 0, 0],
        "has the class z: the",
    ),
    "booleans": ([False, True, True], ["no", "yes"], ("no", "yes"), [0, 1, 1], None),
}


@pytest.mark.parametrize(("values", "names", "labels", "indices", "said"), NAMED.values(), ids=NAMED)
def test_names_that_are_given(values, names, labels, indices, said):
    task = task_of(arrays(values, names))
    assert (task.labels, task.outputs) == (labels, len(labels))
    np.testing.assert_array_equal(task.test.targets, np.array(indices)[TEST])
    assert len(task.notes) == (said is not None)
    assert said is None or said in task.notes[0]


def test_a_class_per_position():
    made = arrays([0, 1, 2])
    made |= {f"y_{each}": np.where(made[f"x_{each}"][:, 0] > 0, 255, 0) for each in ("train", "test")}
    task = task_of(made)
    assert (task.dense, task.labels) == (True, ("0", "255"))
    np.testing.assert_array_equal(task.test.targets, made["y_test"] // 255)


def test_numbers_and_sets_of_labels_stay_as_they_are():
    task = task_of(arrays([1, 2, 7]), predict="regression")
    assert (task.labels, task.notes, task.test.targets[2].item()) == ((), (), 7.0)
    pairs = {
        "y_train": np.stack([INDICES == 0, INDICES == 1], 1),
        "y_test": np.stack([TEST == 0, TEST == 1], 1),
    }
    task = task_of(arrays([0, 1, 2], ["hot", "wet"], **pairs), predict="multi-label")
    assert (task.labels, task.notes) == (("hot", "wet"), ())


def at(index, value, values=("ape", "bee", "cow")):
    array = np.array(values, "U4")[TEST]
    array[index] = value
    return array


REFUSED = {
    "an unseen test class": (
        arrays(["ape", "bee", "cow"], y_test=at(4, "yak")),
        "y_test is yak at index 4, a class that y_train never has (it has ape, bee, cow); add training samples",
    ),
    "an unseen number": (
        arrays([-1, 1, 1], y_test=np.zeros(12, int)),
        "y_test is 0 at index 0, a class that",
    ),
    "an unseen validation class": (
        arrays(["ape", "bee", "cow"], x_val=np.zeros((12, 2, 16)), y_val=at(11, "Cow")),
        "y_val is Cow at index 11, a class that y_train never has",
    ),
    "no name": (arrays(["ape", "", "cow"]), "y_train is empty text at index 1; name its class"),
    "one class": (arrays(["ape"] * 3), "y_train holds the one class ape"),
    "one class by its index": (arrays([1] * 3, ["ape", "bee"]), "y_train holds the one class bee"),
    "text that is not a name": (
        arrays(["a", "b", "d"], ["a", "b", "c"]),
        "y_train is d at index 2, which is none of labels (a, b, c); add it there, or correct it",
    ),
    "too few names": (arrays([1, 2, 3], ["a", "b"]), "y_train holds 3 classes, 1, 2, 3, and labels 2 names"),
    "names with two axes": (arrays([0, 1, 2], [["a", "b", "c"]]), "labels has dtype <U1 and shape [1, 3]"),
    "measurements": (
        arrays([0, 1, 2], y_train=np.arange(60) * 3, y_test=np.zeros(12, int)),
        "y_train holds 60 different numbers in 60 targets; add `predict=regression`",
    ),
    "objects of several kinds": (
        arrays(np.array(["a", None, "c"], object)),
        "y_train has dtype object; use whole",
    ),
    "text numbers to predict": (
        arrays(["1", "2", "3"]),
        "y_train has dtype <U1; use real numbers",
        "regression",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_refused(case):
    made, expected, *kind = case
    with pytest.raises(InputError) as caught:
        task_of(made, predict=kind[0] if kind else None)
    message = str(caught.value)
    assert message.startswith("mine.npz: ")
    assert expected in message
    assert "\n" not in message


def test_many_labels_are_not_all_listed():
    values = np.array([f"class {index:02}" for index in range(30)])
    task = task_of(arrays(values, y_train=np.tile(values, 2), y_test=values[:12]))
    assert len(task.labels) == 30
    assert task.notes[0].endswith("class 04, class 05, … class 29")


@given(
    st.one_of(
        st.lists(st.integers(-(2**62), 2**62), min_size=2, max_size=9, unique=True),
        st.lists(st.text("ab é'01", min_size=1, max_size=4), min_size=2, max_size=9, unique=True),
    ),
    st.randoms(use_true_random=False),
)
def test_labels_name_what_was_there(names, random):
    train = np.array([random.choice(names) for _ in range(12)] + names[:2] * 9)
    test = np.array([random.choice(train.tolist()) for _ in range(5)])
    made = classes_of("here", {"train": train, "test": test})
    for split, array in (("train", train), ("test", test)):
        assert [made.labels[index] for index in made.targets[split]] == [str(each) for each in array]
    assert sorted(set(made.targets["train"].tolist())) == list(range(len(made.labels)))


def test_plain_text_leaves_other_arrays_alone():
    for array in (np.arange(3), np.array([None, "a"], object), np.zeros(0, object)):
        assert plain_text(array) is array
