"""``module:name`` of the user's own."""

import pytest

from dashdeploy.errors import InputError
from dashdeploy.references import is_reference, load_reference


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_function_beside_the_working_directory(here):
    (here / "my_networks_a.py").write_text("def unet(channels):\n    return channels + 1\n")
    assert load_reference("backbone", "my_networks_a:unet")(2) == 3


def test_a_file_whose_name_is_no_identifier(here):
    (here / "my-networks-f.py").write_text("def unet():\n    return 4\n")
    assert load_reference("backbone", "my-networks-f:unet")() == 4


def test_what_is_wrong_is_one_line(here):
    (here / "my_networks_b.py").write_text("def unet():\n    pass\n\nnumber = 3\n")
    (here / "my_networks_c.py").write_text("import no_such_package_anywhere\n")
    (here / "my_networks_d.py").write_text("1 / 0\n")
    (here / "my_networks_e.py").write_text("def unet(:\n")
    for text, message in {
        "my_networks_z:unet": "No module named 'my_networks_z'; write module:name for a module that",
        "my_networks_b:vnet": "my_networks_b has no function 'vnet'; it has unet",
        "my_networks_b:number": "my_networks_b has no function 'number'",
        "my_networks_c:unet": "No module named 'no_such_package_anywhere'",
        "my_networks_d:unet": "importing my_networks_d fails: ZeroDivisionError",
        "my_networks_e:unet": "importing my_networks_e fails: SyntaxError",
        ":unet": "name the module",
        "my_networks_b:": "name the function",
    }.items():
        with pytest.raises(InputError) as caught:
            load_reference("backbone", text)
        assert str(caught.value).startswith(f"`backbone={text}`: ")
        assert message in str(caught.value)


def test_what_a_reference_is():
    assert is_reference("a.b:c")
    assert not is_reference("resnet1d")
