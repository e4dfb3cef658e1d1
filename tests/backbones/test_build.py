"""ResNet1D and the registry of backbones."""

import pytest
import torch
from torch import nn

from dashdeploy.artifacts.run import Architecture, LayerArchitecture
from dashdeploy.backbones.build import BACKBONES, build_backbone, build_searched
from dashdeploy.errors import InputError

ARGUMENTS = {"in_channels": 3, "outputs": 5, "width": 4, "dense": False}


def convolutions(model):
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv1d)}


def architecture(*layers, arguments=ARGUMENTS):
    return Architecture(
        backbone="resnet1d",
        arguments=arguments,
        kernel_sizes=[2, 9],
        dilations=[1, 15],
        layers=[
            LayerArchitecture(name=name, kernel_size=k, dilation=d, alpha=[[1, 0], [0, 0]])
            for name, k, d in layers
        ],
    )


@pytest.mark.parametrize("n", [1, 7, 40, 333])
@pytest.mark.parametrize("batch", [1, 3])
def test_shapes_of_point_and_dense_prediction(n, batch):
    x = torch.randn(batch, 3, n)
    point = build_backbone("resnet1d", ARGUMENTS).eval()
    dense = build_backbone("resnet1d", ARGUMENTS | {"dense": True}).eval()
    assert point(x).shape == (batch, 5)
    assert dense(x).shape == (batch, 5, n)


def test_topology_is_that_of_the_paper():
    convs = convolutions(build_backbone("resnet1d", ARGUMENTS))
    blocks = [(f"blocks.{b}.convs.{i}", k) for b in range(3) for i, k in enumerate((8, 5, 3))]
    shortcuts = [("blocks.0.shortcut.0", 1), ("blocks.1.shortcut.0", 1)]  # channels do not change in block 2
    assert sorted((name, conv.kernel_size[0]) for name, conv in convs.items()) == sorted(blocks + shortcuts)
    assert [convs[name].out_channels for name, _ in blocks] == [4, 4, 4, 8, 8, 8, 8, 8, 8]


@pytest.mark.parametrize(("patch", "n"), [(2, 9), (8, 64), (5, 5)])
def test_patches_are_what_the_blocks_see(patch, n):
    """The stem is a linear map of each patch, its batch norm and ReLU; the rest is the network without patches."""
    torch.manual_seed(0)
    model = build_backbone("resnet1d", ARGUMENTS | {"patch": patch}).eval()
    x = torch.randn(2, 3, n)
    cut, norm, _ = model.stem
    with torch.inference_mode():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        patches = x[..., : n // patch * patch].unflatten(2, (-1, patch))  # [2, 3, patches, patch]
        mapped = torch.einsum("bcnp,ocp->bon", patches, cut.weight)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        seen = ((mapped - norm.running_mean[:, None]) * scale[:, None] + norm.bias[:, None]).relu()
        expected = model.head(model.blocks(seen).mean(-1))
        torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("patch", "side"), [(2, 33), (4, 64)])
def test_patches_of_images_are_what_the_stem_sees(patch, side):
    """As those of series, along both axes."""
    torch.manual_seed(0)
    model = build_backbone("wide_resnet", {"in_channels": 3, "outputs": 5, "patch": patch, "widen": 1}).eval()
    x = torch.randn(2, 3, side, side + 3)
    cut, norm, _ = model.patches
    assert cut.out_channels == 16
    with torch.inference_mode():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        rows, columns = side // patch, (side + 3) // patch
        whole = x[..., : rows * patch, : columns * patch]
        patches = whole.unflatten(3, (-1, patch)).unflatten(
            2, (-1, patch)
        )  # [2, 3, rows, patch, columns, patch]
        mapped = torch.einsum("bcipjq,ocpq->boij", patches, cut.weight)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        shifted = mapped - norm.running_mean[:, None, None]
        seen = (shifted * scale[:, None, None] + norm.bias[:, None, None]).relu()
        expected = model.head(model.norm(model.blocks(model.stem(seen))).relu().mean((2, 3)))
        torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["resnet1d", "wide_resnet"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"patch": 0}, "at least one value"), ({"patch": 2, "dense": True}, "every position")],
)
def test_patches_that_cannot_be(name, arguments, message):
    shape = {"in_channels": 3, "outputs": 5}
    with pytest.raises(InputError, match=f"backbone {name}: patch = .*{message}"):
        build_backbone(name, shape | arguments)


def test_dense_prediction_sees_positions():
    model = build_backbone("resnet1d", ARGUMENTS | {"dense": True}).eval()
    x = torch.zeros(1, 3, 50)
    y = model(x)
    x[..., 40] = 1
    changed = (model(x) - y).abs().amax(1).flatten() > 0
    assert changed[40]
    assert not changed[:10].any()  # nine convolutions reach 3 * (4 + 2 + 1) = 21 to the left at most


def test_searched_network_has_the_found_kernels_and_keeps_the_shapes():
    found = architecture(("blocks.0.convs.0", 2, 15), ("blocks.2.convs.1", 9, 15))
    model = build_searched(found).eval()
    convs = convolutions(model)
    first, other = convs["blocks.0.convs.0"], convs["blocks.2.convs.1"]
    assert (first.kernel_size, first.dilation, first.padding) == ((2,), (15,), "same")
    assert (other.kernel_size, other.dilation, other.bias) == ((9,), (15,), None)
    assert convs["blocks.0.convs.1"].kernel_size == (5,)
    assert {type(module).__module__.split(".")[0] for module in convs.values()} == {"torch"}
    assert model(torch.randn(2, 3, 40)).shape == (2, 5)


def test_an_even_kernel_with_an_odd_dilation_warns_of_nothing(recwarn):
    build_searched(architecture(("blocks.0.convs.0", 2, 15)))(torch.randn(2, 3, 40))
    assert not recwarn.list


def test_unknown_names_and_arguments_are_named():
    with pytest.raises(InputError, match=r"`backbone=resnet1e`: no such backbone; did you mean resnet1d\?"):
        build_backbone("resnet1e", {})
    with pytest.raises(
        InputError, match="choose from convnext, resnet1d, tcn, unet1d, wide_resnet, or write module:factory"
    ):
        build_backbone("zzz", {})
    with pytest.raises(InputError, match=r"backbone resnet1d: .*'depth'; it takes in_channels, outputs"):
        build_backbone("resnet1d", ARGUMENTS | {"depth": 3})
    with pytest.raises(InputError, match=r"names 'blocks\.7\.convs\.0', which is not a convolution"):
        build_searched(architecture(("blocks.7.convs.0", 3, 1)))
    assert list(BACKBONES) == ["resnet1d", "tcn", "unet1d", "wide_resnet", "convnext"]
    with pytest.raises(InputError, match="backbone wide_resnet: depth 18"):
        build_backbone("wide_resnet", {"in_channels": 1, "outputs": 2, "depth": 18})


def test_a_dense_wide_resnet_predicts_every_position():
    model = build_backbone(
        "wide_resnet", {"in_channels": 3, "outputs": 2, "depth": 10, "widen": 1, "dense": True}
    )
    assert model(torch.randn(2, 3, 9, 11)).shape == (2, 2, 9, 11)
