"""Which passes run, and in which order. Nobody runs a pass but through these functions.

    prepare      a model as it was read -> the all-direct model
    lower        the all-direct model -> the compiled one, in float32
    to_native    the all-direct model -> one for the native kernels
    to_fp16, simulate_fp16, to_int8      either of them -> the same in another precision

Each takes a model, leaves it as it is, and returns another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx_ir as ir
from onnx_ir.passes import PassBase, Sequential, functionalize
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    InlinePass,
    LiftConstantsToInitializersPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
)

from dashdeploy.errors import InputError
from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.passes.crop_unread import CropUnread
from dashdeploy.export.passes.fold_batch_norm import FoldBatchNorm
from dashdeploy.export.passes.fold_constants import FoldConstants
from dashdeploy.export.passes.fold_pads import FoldPads
from dashdeploy.export.passes.for_engines.pad_apart_from_max_pool import PadApartFromMaxPool
from dashdeploy.export.passes.for_engines.relu_as_maximum import ReluAsMaximum
from dashdeploy.export.passes.horizontal_fusion import HorizontalFusion
from dashdeploy.export.passes.layout_assignment import AssignLayout
from dashdeploy.export.passes.lower_convolutions import LowerConvolutions
from dashdeploy.export.passes.native_fusion import FuseNative, NativeChoice
from dashdeploy.export.passes.precision.convert_to_fp16 import ConvertToFp16, control_flow
from dashdeploy.export.passes.precision.quantize import Quantize
from dashdeploy.export.passes.precision.simulate_fp16 import SimulateFp16
from dashdeploy.export.passes.share_constants import ShareConstants
from dashdeploy.export.passes.sink_batch_norm_through_concat import SinkBatchNormThroughConcat
from dashdeploy.runtimes.base import Array


def prepare(model: ir.Model) -> ir.Model:
    """A copy of `model` that is ready for the compiler: functions inlined, constants folded, shapes known.

    Padding and batch norms around convolutions become part of them, and what nobody reads is not computed.
    """
    return _run(
        model,
        InlinePass(),
        FoldConstants(),
        LiftConstantsToInitializersPass(lift_all_constants=False),
        FoldPads(),
        PadApartFromMaxPool(),
        SinkBatchNormThroughConcat(),
        FoldBatchNorm(),
        RemoveUnusedNodesPass(),
        ClearMetadataAndDocStringPass(),
        ShapeInferencePass(strict_mode=False),
        CropUnread(),
        RemoveUnusedNodesPass(),
    )


def lower(
    model: ir.Model,
    lowerings: Mapping[str, Lowering],
    fusion_groups: Collection[str] = (),
    *,
    fold_taps: bool = False,
    relu_as_maximum: bool = False,
) -> ir.Model:
    """A copy of `model` in which the named convolutions are computed by their lowerings.

    Args:
        model: from `prepare`.
        lowerings: by layer name; layers that are not named stay as they are.
        fusion_groups: names of the groups of convolutions that become one layer each.
        fold_taps: whether the taps are stored as they are multiplied by, for engines that do not fold constants.
        relu_as_maximum: whether Relu is written as Max with zero, for engines that are slow at Relu.
    """
    folding = (
        (FoldConstants(), LiftConstantsToInitializersPass(lift_all_constants=False)) if fold_taps else ()
    )
    return _run(
        model,
        HorizontalFusion(fusion_groups),
        LowerConvolutions(lowerings),
        AssignLayout(),
        *((ReluAsMaximum(),) if relu_as_maximum else ()),
        *folding,
        ShareConstants({*lowerings, *fusion_groups}),
        RemoveUnusedNodesPass(),
    )


def to_native(
    model: ir.Model, choices: Mapping[str, NativeChoice], fusion_groups: Collection[str] = ()
) -> ir.Model:
    """A copy of the all-direct `model` with nodes of the native kernels for the named convolutions.

    Args:
        model: from `prepare`.
        choices: by layer name, or name of a fusion group; convolutions that are not named stay as they are.
        fusion_groups: names of the groups of convolutions that become one layer each.
    """
    return _run(
        model,
        HorizontalFusion(fusion_groups),
        FuseNative(choices),
        RemoveUnusedNodesPass(),
        ShapeInferencePass(strict_mode=False),
    )


def to_fp16(
    model: ir.Model, compiled_layers: Collection[str], part: str, kept: Collection[str] = ()
) -> ir.Model:
    """A copy of a float32 model in half precision; see `ConvertToFp16`.

    Raises:
        InputError: the model has control flow, whose subgraphs are not converted.
    """
    operator = control_flow(model)
    if operator is not None:
        raise InputError(f"`precision=fp16`: {operator} has a subgraph, which cannot be converted")
    return _run(
        model,
        ShapeInferencePass(strict_mode=False),
        ConvertToFp16(compiled_layers, part, kept),
        RemoveUnusedNodesPass(),
    )


def simulate_fp16(model: ir.Model) -> ir.Model:
    """A copy of a model of `to_fp16` that computes in float32 and rounds every half value to half."""
    return _run(model, SimulateFp16())


def to_int8(
    model: ir.Model,
    compiled_layers: Collection[str],
    calibration: Mapping[str, Array],
    batch: int | None = None,
    *,
    seven_bit_weights: bool = False,
) -> ir.Model:
    """A quantized copy of a float32 model; see `Quantize`."""
    quantize = Quantize(compiled_layers, calibration, batch, seven_bit_weights=seven_bit_weights)
    return quantize(model).model


def _run(model: ir.Model, *passes: PassBase) -> ir.Model:
    return functionalize(Sequential(*passes))(model).model
