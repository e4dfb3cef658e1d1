"""One point of `bench search-cost`: a supernet, its input, one training step on it, and the memory of that step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.bench.common.peak_memory import peak_mib_of
from dashdeploy.search.training.malloc_tuning import keep_freed_memory

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dashdeploy.ops.aggconv.cost import Choice
    from dashdeploy.ops.aggconv.methods import Method
    from dashdeploy.ops.aggconv.rates import Rates

_SEED = 0
_MEMORY_STEPS = 2


class Problem(FrozenModel):
    """A search space on a backbone.

    Attributes:
        line: the line of the figure that this is a point of: ``c``, ``n``, or a name.
        x: where on that line.
        backbone: the backbone's name.
        arguments: its factory's arguments.
        input_shape: [channels, *spatial].
        batch: samples per step.
        kernel_sizes: K.
        dilations: D.
        separable: whether layers with equal channels are searched depthwise.
    """

    line: str
    x: int
    backbone: str
    arguments: Mapping[str, int]
    input_shape: tuple[int, ...]
    batch: int
    kernel_sizes: tuple[int, ...]
    dilations: tuple[int, ...]
    separable: bool = False

    def describe(self) -> str:
        """In a few words."""
        size = " x ".join(map(str, self.input_shape))
        kind = ", depthwise" if self.separable else ""
        return f"{self.backbone} on {size}, |K| = {len(self.kernel_sizes)}, |D| = {len(self.dilations)}{kind}"

    def supernet(
        self, method: str, rates: Rates | None = None, timed: Mapping[str, Choice] | None = None
    ) -> nn.Module:
        """The supernet, with the same weights for every method.

        Args:
            method: the way to compute AggConv.
            rates: what ``auto`` goes by; None is the device's table.
            timed: what it takes instead, by the layer's signature.
        """
        import torch

        from dashdeploy.backbones.build import build_backbone
        from dashdeploy.search.supernet.build import agg_convs, build_supernet

        torch.manual_seed(_SEED)
        model = build_backbone(self.backbone, self.arguments)
        build_supernet(
            model,
            self.kernel_sizes,
            self.dilations,
            cast("Method", method),
            input_shape=self.input_shape,
            separable=self.separable,
        )
        for layer in agg_convs(model).values():
            layer.rates, layer.choices = rates, timed or {}
        return model

    def timed(self, device: str, rates: Rates, seconds: float) -> dict[str, Choice]:
        """The quickest computation of each layer on `device`, as a search finds it."""
        import torch

        from dashdeploy.ops.aggconv.layer_choices import measured_choices
        from dashdeploy.search.supernet.computation_rates import layer_inputs

        layers = layer_inputs(self.supernet("auto", rates), self.input_shape)
        return measured_choices(layers, self.batch, torch.device(device), rates, seconds=seconds)

    def step(
        self,
        method: str,
        device: str = "cpu",
        rates: Rates | None = None,
        timed: Mapping[str, Choice] | None = None,
    ) -> Callable[[], Any]:
        """One training step on `device`: forward, backward and SGD, on random data.

        A GPU may still be at work when the step returns.
        """
        import torch
        import torch.nn.functional as F

        model = self.supernet(method, rates, timed).to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
        inputs, targets = (tensor.to(device) for tensor in self._data())

        def step() -> None:
            optimizer.zero_grad()
            loss: Tensor = F.cross_entropy(model(inputs), targets)
            torch.autograd.backward(loss)
            optimizer.step()

        return step

    def graph(
        self, method: str, rates: Rates | None, timed: Mapping[str, Choice] | None = None
    ) -> Callable[[], None]:
        """The same step on this machine's GPU as a CUDA graph: what launches its kernels all at once."""
        from dashdeploy.runtimes.torch.device import captured

        return captured(self.step(method, "cuda", rates, timed))[0]

    def choices(
        self, rates: Rates | None = None, timed: Mapping[str, Choice] | None = None
    ) -> dict[str, int]:
        """How many layers ``auto`` computes in which way by `rates`; None is the table of the CPU."""
        import torch

        from dashdeploy.ops.aggconv.module import AggConv
        from dashdeploy.ops.aggconv.taps import tap_plan
        from dashdeploy.search.supernet.build import agg_convs

        counted: Counter[str] = Counter()

        def count(module: AggConv, inputs: tuple[Tensor]) -> None:
            (x,) = inputs
            plan = tap_plan(module.kernel_sizes, module.dilations, module.frame, tuple(x.shape[2:]), x.device)
            counted[module.computation(plan, self.batch, x.device)[0]] += 1

        model = self.supernet("auto", rates, timed)
        for module in agg_convs(model).values():
            module.register_forward_pre_hook(cast("Any", count))
        with torch.inference_mode():
            model.eval()(self._data()[0][:1])
        return dict(counted)

    def _data(self) -> tuple[Tensor, Tensor]:
        import torch

        generator = torch.Generator().manual_seed(_SEED)
        inputs = torch.randn(self.batch, *self.input_shape, generator=generator)
        return inputs, torch.randint(0, self.arguments["outputs"], (self.batch,), generator=generator)


def peak_mib(problem: Problem, method: str, threads: int) -> float | None:
    """MiB at the peak of a process that runs two steps, what Python and torch take included; see `peak_mib_of`."""
    asked = {"problem": problem.model_dump(mode="json"), "method": method, "threads": threads}
    return peak_mib_of(run_steps, asked, title=f"{method} {threads}")


def gpu_peak_mib(
    problem: Problem, method: str, rates: Rates | None, timed: Mapping[str, Choice] | None
) -> float:
    """MiB that torch has had allocated on this process's GPU at the peak of two steps, weights included."""
    import gc

    import torch

    gc.collect()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step = problem.step(method, "cuda", rates, timed)
    for _ in range(_MEMORY_STEPS):
        step()
    torch.cuda.synchronize()
    return float(torch.cuda.max_memory_allocated() - before) / 2**20


def run_steps(*, problem: Mapping[str, object], method: str, threads: int) -> None:
    """Run two steps of the problem that has the fields `problem`; for `peak_mib`."""
    import torch

    torch.set_num_threads(threads)
    step = Problem.model_validate(problem).step(method)
    with keep_freed_memory():
        for _ in range(_MEMORY_STEPS):
            step()
