"""Checks a bundle: what its files say of each other, the versions it was made with, and parity once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from dashdeploy.artifacts.bundle import (
    DIRECT_NAME,
    MODEL_NAME,
    NATIVE_NAME,
    PARITY_NAME,
    PLAN_NAME,
    PT2_NAME,
    TORCHSCRIPT_NAME,
    Bundle,
)
from dashdeploy.artifacts.json_files import first_problem
from dashdeploy.errors import GateError, InputError, MissingCapabilityError
from dashdeploy.export.engines.own_format import OwnFormatSidecar
from dashdeploy.export.engines.sidecar import EngineSidecar
from dashdeploy.export.planning.plan import Plan
from dashdeploy.export.torch.artifacts import TorchSidecar
from dashdeploy.export.torch.fresh_process import run_fresh
from dashdeploy.export.verify.batches import run_on_all
from dashdeploy.export.verify.expectation import Expectation
from dashdeploy.export.verify.parity import TOLERANCE, bundle_expectation
from dashdeploy.export.verify.parity_report import NOT_JUDGED, Parity
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.engines import load_engine
from dashdeploy.runtimes.native.graph_file import NativeSidecar
from dashdeploy.runtimes.native.model import NativeModel
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES, OnnxEngine, OwnFormat
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.tensorrt import TensorRT
from dashdeploy.runtimes.tensorrt_flavors import FLAVORS

Note = Callable[[str, str], None]
Sidecar = TypeVar("Sidecar", EngineSidecar, NativeSidecar, OwnFormatSidecar, TorchSidecar)
Content = TypeVar("Content", bound=BaseModel)

_DRIFT = 2.0
"""Where parity has no tolerance (random inputs in int8): how many times its error at export an output may have."""


def check_bundle(bundle: Bundle, note: Note, progress: Progress = silent) -> None:
    """Check a bundle whose files match their hashes.

    Args:
        bundle: as `Bundle.load` gives it.
        note: told each check and what it found.
        progress: a function that gets a line for each step.

    Raises:
        InputError: a file is not a plan, parity report or sidecar, or contradicts another one.
        GateError: the model or an artifact does not agree with its reference.
    """
    note("files", f"all {len(bundle.manifest.files)} match their sha256; none is missing, none is foreign")
    plan, parity = _read(bundle, PLAN_NAME, Plan), _read(bundle, PARITY_NAME, Parity)
    if parity.precision != bundle.manifest.precision:
        raise InputError(
            f"{bundle.path}: {PARITY_NAME} is for {parity.precision}, the manifest for {bundle.manifest.precision}"
        )
    note("schema", f"manifest, {PLAN_NAME} ({len(plan.layers)} layers) and {PARITY_NAME} are well-formed")
    _check_versions(bundle, note)
    model = OnnxRuntime(bundle.path / MODEL_NAME)
    _check_interface(bundle, model)
    note("interface", "the model's inputs and outputs are the manifest's")
    progress("comparing the model with the all-direct one")
    expected = bundle_expectation(bundle)
    _check_model(bundle, model, parity, expected, note)
    for name in (TORCHSCRIPT_NAME, PT2_NAME):
        if bundle.file(name) is not None:
            progress(f"running {name} in a fresh process")
            _check_torch_file(bundle, name, expected, note)
    if bundle.file(NATIVE_NAME) is not None:
        progress(f"running {NATIVE_NAME}")
        _check_native(bundle, parity, expected, note)
    for converted in ONNX_ENGINES.values():
        own = converted.own_format
        if own is not None and bundle.file(own.file) is not None:
            progress(f"running {own.file} in {converted.title}")
            _check_own_format(bundle, converted, own, expected, note)
    for flavor in FLAVORS:
        if bundle.file(flavor.file_name) is None:
            continue
        sidecar = _sidecar(bundle, flavor.file_name, EngineSidecar)
        if sidecar.model_sha256 != bundle.manifest.files[MODEL_NAME]:
            raise InputError(
                f"{bundle.path}: {flavor.file_name} was built from another {MODEL_NAME}; build it again"
            )
        try:
            engine = TensorRT(bundle.path / flavor.file_name, flavor)
        except MissingCapabilityError as error:
            note(
                flavor.file_name,
                f"as its sidecar says, {flavor.title} {sidecar.version}; not run here: {error}",
            )
            continue
        got = [engine.run(feeds) for _, feeds in expected.sets]
        again = expected.compare(got, sidecar.precision, max(TOLERANCE[sidecar.precision], parity.tolerance))
        _judge(bundle, flavor.file_name, again, parity)
        note(
            flavor.file_name,
            f"differs by {again.worst:.1e} from {DIRECT_NAME}, allowed {again.allowed_in_words}",
        )


def _read(bundle: Bundle, name: str, kind: type[Content]) -> Content:
    try:
        return kind.model_validate(bundle.read_json(name))
    except ValidationError as error:
        raise InputError(f"{bundle.path / name}: {first_problem(error)}; export the bundle again") from error


def _sidecar(bundle: Bundle, name: str, kind: type[Sidecar]) -> Sidecar:
    sidecar = _read(bundle, f"{name}.json", kind)
    if sidecar.sha256 != bundle.manifest.files[name] or sidecar.file != name:
        raise InputError(f"{bundle.path}: {name}.json describes another {name}; export the bundle again")
    return sidecar


def _check_versions(bundle: Bundle, note: Note) -> None:
    """Another version is not an error, since what it computes is checked below, but worth to be known."""
    others = []
    for package, made_with in bundle.manifest.tools.items():
        try:
            here = version(package)
        except PackageNotFoundError:
            here = "not installed"
        if here != made_with:
            others.append(f"{package} {made_with} (here {here})")
    note("versions", f"made with {', '.join(others)}" if others else "the same as here")


def _check_interface(bundle: Bundle, model: Runtime) -> None:
    manifest = bundle.manifest
    for what, described, found in (
        ("inputs", manifest.inputs, model.inputs),
        ("outputs", manifest.outputs, model.outputs),
    ):
        # The names of dynamic axes mean nothing.
        mine, theirs = (
            [(s.name, s.dtype, [axis if isinstance(axis, int) else None for axis in s.shape]) for s in specs]
            for specs in (described, found)
        )
        if mine != theirs:
            raise InputError(
                f"{bundle.path}: the manifest's {what} are not those of {MODEL_NAME}; export it again"
            )


def _check_model(
    bundle: Bundle,
    model: Runtime,
    parity: Parity,
    expected: Expectation,
    note: Note,
) -> None:
    got = [run_on_all(model.run, model.inputs, feeds) for _, feeds in expected.sets]
    again = expected.compare(got, parity.precision, parity.tolerance)
    _judge(bundle, MODEL_NAME, again, parity)
    note(MODEL_NAME, f"differs by {again.worst:.1e} from {DIRECT_NAME}, allowed {again.allowed_in_words}")
    if parity.accuracy is not None:
        share = parity.accuracy
        note(share.measure, f"at export {share.model:.4f}, reference {share.reference:.4f}")


def _check_torch_file(bundle: Bundle, name: str, expected: Expectation, note: Note) -> None:
    sidecar = _sidecar(bundle, name, TorchSidecar)
    (given,), (result,) = bundle.manifest.inputs, bundle.manifest.outputs
    sets = expected.sets
    outputs = run_fresh(bundle.path / name, {str(i): feeds[given.name] for i, (_, feeds) in enumerate(sets)})
    got = [{result.name: outputs[str(i)]} for i in range(len(sets))]
    again = expected.compare(got, "fp32", sidecar.parity.tolerance)
    _judge(bundle, name, again, sidecar.parity)
    note(name, f"differs by {again.worst:.1e} from {DIRECT_NAME}, allowed {again.allowed_in_words}")


def _check_native(bundle: Bundle, parity: Parity, expected: Expectation, note: Note) -> None:
    sidecar = _sidecar(bundle, NATIVE_NAME, NativeSidecar)
    if sidecar.direct_sha256 != bundle.manifest.files[DIRECT_NAME]:
        raise InputError(f"{bundle.path}: {NATIVE_NAME} was made from another {DIRECT_NAME}; export it again")
    try:
        model = NativeModel(bundle.path / NATIVE_NAME)
    except MissingCapabilityError as error:
        note(NATIVE_NAME, f"as its sidecar says; not run here: {error}")
        return
    got = [run_on_all(model.run, model.inputs, feeds) for _, feeds in expected.sets]
    again = expected.compare(got, "fp32", sidecar.tolerance)
    _judge(bundle, NATIVE_NAME, again, parity)
    note(
        NATIVE_NAME,
        f"differs by {again.worst:.1e} from {DIRECT_NAME}, allowed {again.allowed_in_words} ({model.instructions})",
    )


def _check_own_format(
    bundle: Bundle, engine: OnnxEngine, own: OwnFormat, expected: Expectation, note: Note
) -> None:
    sidecar = _sidecar(bundle, own.file, OwnFormatSidecar)
    if sidecar.model_sha256 != bundle.manifest.files[MODEL_NAME]:
        raise InputError(
            f"{bundle.path}: {own.file} was made from another {MODEL_NAME}; export the bundle again"
        )
    try:
        runtime = load_engine(bundle, engine.name)
    except MissingCapabilityError as error:
        note(own.file, f"as its sidecar says, {engine.title} {sidecar.version}; not run here: {error}")
        return
    got = [run_on_all(runtime.run, runtime.inputs, feeds) for _, feeds in expected.sets]
    again = expected.compare(got, sidecar.precision, sidecar.parity.tolerance)
    _judge(bundle, own.file, again, sidecar.parity)
    note(own.file, f"differs by {again.worst:.1e} from {DIRECT_NAME}, allowed {again.allowed_in_words}")


def _judge(bundle: Bundle, name: str, again: Parity, at_export: Parity) -> None:
    """What was judged at export is judged again; what was only noted may not have drifted away."""
    noted: Mapping[tuple[str, str], float] = {
        (entry.output, entry.inputs.removesuffix(NOT_JUDGED)): entry.max_relative_error
        for entry in at_export.outputs
        if entry.inputs.endswith(NOT_JUDGED)
    }
    for entry in again.outputs:
        before = noted.get((entry.output, entry.inputs))
        allowed = entry.allowed(again.tolerance) if before is None else _DRIFT * before
        if not entry.max_relative_error <= allowed:
            raise GateError(
                f"{bundle.path / name}: {entry.output} ({entry.inputs}) differs from {DIRECT_NAME} by "
                f"{entry.max_relative_error:.2e}, allowed {allowed:.1e}; export the bundle again on this machine"
            )
