"""Random small graphs as exporters of every age write them; not all of them are valid, and not all of them run.

They have one to three spatial axes, fixed and dynamic ones, any floating-point type, opsets 7 to 24, groups, strides,
dilations, explicit and automatic padding, recurrent states and other second inputs.
"""

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

KINDS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
    "bfloat16": TensorProto.BFLOAT16,
}
OPERATORS = (
    *["conv"] * 6,
    *(
        "relu",
        "sigmoid",
        "add",
        "scale",
        "norm",
        "pad",
        "max_pool",
        "average_pool",
        "concat",
        "split",
        "slice",
    ),
    *(
        "softmax",
        "clip",
        "state",
        "second",
        "dropout",
        "upsample",
        "constant_of_shape",
        "if",
        "turned",
        "cast",
    ),
)
HEADS = ("nothing", "last", "mean", "flat", "recurrent")


class Graph:
    """A graph that grows by one operator after the other.

    Args:
        draw: hypothesis's.

    Attributes:
        sizes: channels and spatial lengths of the current value.
    """

    def __init__(self, draw):
        self.draw = draw
        self.opset = draw(st.integers(7, 24))
        self.kind = draw(st.sampled_from(["float32"] * 8 + ["float16", "float64", "bfloat16"]))
        self.rank = draw(st.sampled_from([1, 1, 1, 2, 2, 3]))
        self.sizes = [
            draw(st.sampled_from([1, 2, 4, 6])),
            *(draw(st.integers(1, 20)) for _ in range(self.rank)),
        ]
        self.nodes, self.initializers, self.inputs = [], [], []
        self.generator = np.random.default_rng(draw(st.integers(0, 9)))
        self.batch = draw(st.sampled_from(["b", "b", 1, 3, -1]))
        self.value, self.axes = "x", self.rank + 2
        self.count = 0
        self.input("x", [self.batch, *self._declared()])
        self.before = [("x", list(self.sizes))]

    def _declared(self):
        """The sizes as the file declares them: some are left open."""
        free = self.draw(st.sampled_from([0, 0, 0, 1, 2]))
        return [
            f"n{axis}" if axis > 0 and free and axis <= free else size for axis, size in enumerate(self.sizes)
        ]

    def input(self, name, shape):
        info = helper.make_tensor_value_info(name, KINDS[self.kind], shape)
        for axis, size in zip(info.type.tensor_type.shape.dim, shape, strict=True):
            if size == -1:
                axis.dim_value = -1
        self.inputs.append(info)

    def constant(self, array, kind=None):
        """An initializer, which old files have among their inputs as well."""
        self.count += 1
        name = f"c{self.count}"
        dtype = helper.tensor_dtype_to_np_dtype(KINDS[self.kind]) if kind is None else np.dtype(kind)
        array = np.asarray(array).astype(dtype)
        self.initializers.append(numpy_helper.from_array(array, name))
        if self.opset < 9 or self.draw(st.integers(0, 19)) == 0:
            self.inputs.append(
                helper.make_tensor_value_info(name, self.initializers[-1].data_type, array.shape)
            )
        return name

    def random(self, *shape):
        return self.generator.standard_normal(shape) / max(1.0, np.sqrt(np.prod(shape[1:])))

    def op(self, op_type, *inputs, outputs=1, **attributes):
        """Append a node; its output is the current value."""
        self.count += 1
        names = [f"v{self.count}_{place}" for place in range(outputs)]
        self.nodes.append(
            helper.make_node(op_type, list(inputs), names, name=f"node{self.count}", **attributes)
        )
        self.value = names[0]
        return names[0]

    def conv(self):
        draw = self.draw
        groups = draw(st.sampled_from([g for g in (1, 1, 1, 2, self.sizes[0]) if self.sizes[0] % g == 0]))
        out = groups * draw(st.integers(1, 4))
        kernel = [draw(st.sampled_from([1, 1, 2, 3, 5, 9, size])) for size in self.sizes[1:]]
        strides = [draw(st.sampled_from([1, 1, 1, 2, 3])) for _ in kernel]
        dilations = [draw(st.sampled_from([1, 1, 1, 2, 4])) for _ in kernel]
        mode = draw(st.sampled_from(["same", "same", "any", "VALID", "SAME_UPPER", "SAME_LOWER"]))
        attributes = {"group": groups}
        reach = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        if mode == "same":
            pads = [[r // 2, r - r // 2] for r in reach]
        elif mode == "any":
            pads = [[draw(st.integers(0, 4)) for _ in range(2)] for _ in reach]
        else:
            attributes["auto_pad"], pads = mode, [[0, 0]] * len(reach)
        if mode in ("same", "any"):
            attributes["pads"] = [pad[0] for pad in pads] + [pad[1] for pad in pads]
        if draw(st.booleans()):
            attributes["kernel_shape"] = kernel
        if draw(st.booleans()) or max(strides) > 1:
            attributes["strides"] = strides
        if draw(st.booleans()) or max(dilations) > 1:
            attributes["dilations"] = dilations
        weight = self.constant(self.random(out, self.sizes[0] // groups, *kernel))
        bias = [self.constant(self.random(out))] if draw(st.booleans()) else []
        self.op("Conv", self.value, weight, *bias, **attributes)
        same = mode.startswith("SAME")
        self.sizes = [
            out,
            *(
                -(-n // s) if same else (n + sum(pad) - r - 1) // s + 1
                for n, pad, r, s in zip(self.sizes[1:], pads, reach, strides, strict=True)
            ),
        ]

    def relu(self):
        self.op(self.draw(st.sampled_from(["Relu", "Elu", "Tanh", "Softplus"])), self.value)

    def sigmoid(self):
        before = self.value
        self.op("Mul", self.op("Sigmoid", before), before)

    def add(self):
        others = [name for name, sizes in self.before if sizes == self.sizes]
        self.op("Add", self.value, self.draw(st.sampled_from(others or [self.value])))

    def scale(self):
        shape = self.draw(st.sampled_from([(), (1,), (self.sizes[0], *[1] * self.rank), tuple(self.sizes)]))
        self.op(
            self.draw(st.sampled_from(["Mul", "Add", "Sub"])), self.value, self.constant(self.random(*shape))
        )

    def norm(self):
        tables = [self.constant(self.random(self.sizes[0])) for _ in range(3)]
        tables.append(self.constant(np.linspace(0.5, 2, self.sizes[0])))
        extra = {"spatial": 1} if self.opset < 9 and self.draw(st.booleans()) else {}
        self.op("BatchNormalization", self.value, *tables, epsilon=1e-3, **extra)

    def pad(self):
        amounts = [[self.draw(st.integers(0, 3)) for _ in range(self.rank)] for _ in range(2)]
        flat = [0, 0, *amounts[0], 0, 0, *amounts[1]]
        if self.opset < 11:
            self.op("Pad", self.value, pads=flat, mode="constant", value=0.0)
        else:
            self.op("Pad", self.value, self.constant(flat, np.int64))
        self.sizes[1:] = [n + a + b for n, a, b in zip(self.sizes[1:], *amounts, strict=True)]

    def max_pool(self, name="MaxPool"):
        window = [min(2, size) for size in self.sizes[1:]]
        self.op(name, self.value, kernel_shape=window, strides=window)
        self.sizes[1:] = [size // k for size, k in zip(self.sizes[1:], window, strict=True)]

    def average_pool(self):
        self.max_pool("AveragePool")

    def concat(self):
        others = [each for each in self.before if each[1][1:] == self.sizes[1:]] or [(self.value, self.sizes)]
        name, sizes = self.draw(st.sampled_from(others))
        self.op(
            "Concat",
            self.value,
            name,
            axis=self.draw(st.sampled_from([1, 1 if self.opset < 11 else -1 - self.rank])),
        )
        self.sizes = [self.sizes[0] + sizes[0], *self.sizes[1:]]

    def split(self):
        if self.sizes[0] < 2:
            return
        parts = [1, self.sizes[0] - 1]
        if self.opset < 13:
            self.op("Split", self.value, outputs=2, axis=1, split=parts)
        else:
            self.op("Split", self.value, self.constant(parts, np.int64), outputs=2, axis=1)
        self.sizes = [1, *self.sizes[1:]]

    def slice(self):
        axis = self.draw(st.integers(1, self.rank))
        start = self.draw(st.integers(0, self.sizes[axis] - 1))
        stop = self.draw(st.integers(start + 1, self.sizes[axis]))
        if self.opset < 10:
            self.op("Slice", self.value, starts=[start], ends=[stop], axes=[axis + 1])
        else:
            bounds = [self.constant([number], np.int64) for number in (start, stop, axis + 1)]
            self.op("Slice", self.value, *bounds)
        self.sizes[axis] = stop - start

    def softmax(self):
        self.op("Softmax", self.value, axis=self.draw(st.integers(1, self.rank + 1)))

    def clip(self):
        if self.opset < 11:
            self.op("Clip", self.value, min=-0.5, max=0.7)
        else:
            self.op("Clip", self.value, self.constant(-0.5), self.constant(0.7))

    def state(self):
        """A state whose batch is the first or the second axis, added by channel."""
        self.count += 1
        name = f"state{self.count}"
        ones = [1] * self.rank
        if self.draw(st.booleans()):
            self.input(name, [self.batch, self.sizes[0], *ones])
            turned = name
        else:
            self.input(name, [self.sizes[0], self.batch, *ones])
            before = self.value
            turned = self.op("Transpose", name, perm=[1, 0, *range(2, 2 + self.rank)])
            self.value = before
        self.op("Add", self.value, turned)

    def second(self):
        self.count += 1
        self.input(f"in{self.count}", [self.batch, *self.sizes])
        self.op("Add", self.value, self.inputs[-1].name)

    def dropout(self):
        self.op("Dropout", self.value)

    def upsample(self):
        scales = [1.0, 1.0, *[2.0] * self.rank]
        if self.opset < 9:
            self.op("Upsample", self.value, mode="nearest", scales=scales)
        elif self.opset == 9:
            self.op("Upsample", self.value, self.constant(scales, np.float32), mode="nearest")
        elif self.opset == 10:
            self.op("Resize", self.value, self.constant(scales, np.float32), mode="nearest")
        else:
            self.op("Resize", self.value, "", self.constant(scales, np.float32), mode="nearest")
        self.sizes[1:] = [2 * size for size in self.sizes[1:]]

    def constant_of_shape(self):
        if self.opset < 9:
            return
        before = self.value
        zeros = self.op("ConstantOfShape", self.op("Shape", before))
        if self.kind != "float32":
            zeros = self.op("Cast", zeros, to=KINDS[self.kind])
        self.op("Add", before, zeros)

    def cast(self):
        self.op("Cast", self.op("Cast", self.value, to=TensorProto.FLOAT), to=KINDS[self.kind])

    def turned(self):
        """Channels last, and back."""
        perm = [0, *range(2, 2 + self.rank), 1]
        self.op("Relu", self.op("Transpose", self.value, perm=perm))
        self.op("Transpose", self.value, perm=[0, 1 + self.rank, *range(1, 1 + self.rank)])

    def condition(self):
        """Two branches, one of which convolves."""
        outer, channels = self.value, self.sizes[0]
        weight = self.constant(self.random(channels, channels, *[1] * self.rank))
        condition = self.constant(self.draw(st.booleans()), np.bool_)
        self.count += 1
        bodies = {}
        for branch, node in {
            "then_branch": helper.make_node("Conv", [outer, weight], [f"t{self.count}"]),
            "else_branch": helper.make_node("Abs", [outer], [f"e{self.count}"]),
        }.items():
            info = self.output(node.output[0])
            bodies[branch] = helper.make_graph([node], branch, [], [info])
        self.op("If", condition, **bodies)

    def head(self):
        kind = self.draw(st.sampled_from(HEADS))
        if kind == "last":
            last = -1 if self.opset >= 11 else self.sizes[1] - 1
            self.op("Gather", self.value, self.constant(last, np.int64), axis=2)
            # A file may say that its output has an axis more than it has; ONNX Runtime only warns.
            self.axes -= self.draw(st.sampled_from([1, 1, 1, 0]))
        elif kind == "mean":
            self.op("GlobalAveragePool", self.value)
        elif kind == "flat":
            self.op("Flatten", self.value)
            self.axes = 2
        elif kind == "recurrent" and self.rank == 1:
            self.op("Transpose", self.value, perm=[2, 0, 1])
            tables = [self.constant(self.random(1, 6, self.sizes[0])), self.constant(self.random(1, 6, 2))]
            self.input("h0", [1, self.batch, 2])
            self.op("GRU", self.value, *tables, "", "", "h0", outputs=2, hidden_size=2)
            self.axes = 4

    def output(self, name):
        """What a graph says of its output: its type, and how many axes it has."""
        shape = [f"{name}_{axis}" for axis in range(self.axes)]
        return helper.make_tensor_value_info(name, KINDS[self.kind], shape)

    def model(self):
        outputs = [self.output(self.value)]
        graph = helper.make_graph(self.nodes, "g", self.inputs, outputs, self.initializers)
        imports = [helper.make_opsetid("", self.opset)]
        version = max(3 if self.opset < 9 else 4, helper.find_min_ir_version_for(imports))
        return helper.make_model(graph, opset_imports=imports, ir_version=version)


@st.composite
def models(draw):
    """A model of one to seven operators."""
    graph = Graph(draw)
    for _ in range(draw(st.integers(1, 6))):
        if min(graph.sizes) < 1:
            break
        getattr(graph, {"if": "condition"}.get(kind := draw(st.sampled_from(OPERATORS)), kind))()
        graph.before.append((graph.value, list(graph.sizes)))
    if min(graph.sizes) >= 1:
        graph.head()
    if not graph.nodes:
        graph.op("Identity", "x")
    return graph.model()
