"""Every hyperparameter of a search, with its default and where that comes from.

"DASH" is Shen, Khodak, Talwalkar, NeurIPS 2022 (arXiv 2204.07554) and the settings of its released code for
1-D tasks; "measured" was chosen by cross-validation, see docs/decisions.md. None leaves a value to
`dashdeploy.search.config.run_settings`, which takes what suits the samples, the kind of task and the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.errors import InputError
from dashdeploy.ops.aggconv.methods import Method
from dashdeploy.runtimes.names import TargetName
from dashdeploy.search.config.devices import read_devices

MOST_SEEDS = 2**32

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


def _devices(value: object) -> str:
    text = str(value)
    read_devices(text)
    return text


class SearchSettings(FrozenModel):
    """The settings of one run; immutable, and written whole into ``config.json``.

    The defaults are the ``quick`` preset.

    Example:
        `dashdeploy.search` takes them by name, and the preset that the others come from::

            run = dashdeploy.search("mnist1d", out="run", preset="paper", kernel_sizes=(3, 7, 15), seed=1)
            print(dashdeploy.SearchSettings.preset("paper").optimizer)

    Attributes:
        backbone: the network whose convolutions are searched, a registered name or ``module:factory``; ``auto``
            takes what DASH searches, a ResNet1D for series and a WRN for images.
        width: channels of the backbone's first block, where it has such a parameter (DASH: 4 to 64 by the number
            of classes; measured).
        backbone_arguments: further arguments of the backbone's factory, such as depth.
        retrain_arguments: arguments that retraining and the unsearched backbone have instead (DASH: WRN-16-1 is
            searched and WRN-16-4 retrained).
        searched_arguments: arguments that the network which is searched and retrained has, and the unsearched
            backbone has not, such as patches. None chooses by short trainings among smaller networks, for long series
            and where the time is short for the backbone's own size; see `dashdeploy.search.selection.network_size`
            (DASH: none).
        exclude: patterns of names of convolutions to leave alone.
        separable: whether layers with equal channels are searched depthwise (the released DASH code: yes).
        kernel_sizes: the search space K (DASH: 3, 5, 7, 9).
        dilations: the search space D (DASH: 1, 3, 7, 15).
        method: how AggConv is computed; all give the same result, and ``auto`` takes what costs least per layer
            (DASH: fourier, its equation 4).
        seed: of the initial weights and the order of the data; the task's own seed splits off validation.
        batch_size: samples per step, at most all of them (DASH: 64 to 1024 by task). None is a tenth of the samples,
            from 8 to 128 (Wang et al., IJCNN 2017).
        search_epochs: epochs of the search (DASH: 100). None is 12 passes over the data, and at least `search_steps`.
        search_steps: least number of steps of the search where `search_epochs` is None.
        search_share: part of the training data that each pass of the search sees, drawn anew (DASH: 0.2).
        retrain_epochs: epochs of retraining (DASH: 200). None is 30 passes, and at least `retrain_steps`.
        retrain_steps: least number of steps of retraining, and of the backbone, where `retrain_epochs` is None.
        retrain_share: part of the training data that each pass of these sees.
        ensemble: how many networks are trained with what was found, each with the next seed; the run's model is the
            mean of what they predict (Lakshminarayanan et al., NeurIPS 2017).
        towers: of how many networks, side by side, the retrained network is made, which gives the mean of what they
            predict: each has the found kernels and, if they are narrow, 1 / sqrt(towers) of the width, so that
            together they cost about what one does (Zhao et al., IEEE TIP 2022). 1 is one network. None trains two
            beside the winner of the short list, and takes what cross-validation says is better; only for classes or
            labels of whole samples, and the backbones of `dashdeploy.backbones.build.WIDTHS`.
        narrow_towers: whether towers are narrower; if not, each has the whole width. None is yes, except where the
            search has chosen a network that costs a fraction of the backbone: then as many of the whole width, up to
            four, are trained as together cost less than the backbone, and as there is time for.
        reparameterize: whether the convolutions of the network that was found learn as a sum of branches, which is
            one kernel of the same size afterwards (Ding et al., CVPR 2021; Hu et al., CVPR 2022; see
            `dashdeploy.ops.training.reparameterization`). The unsearched backbone does not, unless time lacks for all
            steps of both and one training serves for both networks. None trains the winner of the short list both
            ways, and takes what cross-validation says is better; only for classes or labels of whole samples, and
            the backbones of `dashdeploy.search.selection.branches.BRANCHED`.
        scale_samples: whether the network that was found scales every channel of every series by itself, to mean 0
            and deviation 1. The unsearched backbone takes them as they are. None trains the winner of the short list
            both ways, as with `reparameterize`; only where levels or sizes of series differ, for classes or labels of
            whole samples, and the backbones of `dashdeploy.search.selection.scaled_samples.SCALING`.
        backbone_epochs: epochs of the unsearched backbone; None is as many as of retraining, or what there is time
            for beside a smaller network. More of them give it what the search and its choices cost as well.
        backbone_share: part of the training data that each of its passes sees; None is `retrain_share`.
        epoch_passes: passes over the data in an epoch, after which the network is validated and saved. None is 1
            where one of the numbers of epochs is given; else so many that an epoch of a small data set has 50 steps.
        optimizer: of the weights and the architecture parameters: ``adam``, with decoupled weight decay (Loshchilov
            and Hutter, ICLR 2019), or ``sgd`` with Nesterov's step (DASH; measured).
        learning_rate: peak rate of the weights when retraining (DASH: 0.1, the first of its grid). None is 0.005 for
            Adam and 0.1 for SGD, and the same for the next.
        search_learning_rate: peak rate of the weights in the search (DASH: 0.1).
        alpha_learning_rate: peak rate of the architecture parameters (DASH: 0.05). None is 0.05 for Adam and 10 for
            SGD (measured).
        momentum: of SGD, and the first of Adam's two (DASH: 0.9).
        weight_decay: on all weights. None is 0.2 for Adam, whose decay is decoupled from the gradient (measured), and
            5e-4 for SGD (DASH).
        alpha_weight_decay: on the architecture parameters (DASH: 5e-4).
        temperature: of the softmax over the architecture parameters, at the start of the search (DASH: 1).
        final_temperature: the same at its end; the fall is exponential. Below 1 it makes the mixture decide while
            the weights can still follow (DASH: 1; Jang et al., "Gumbel-softmax", ICLR 2017, section 2.2; measured).
        gumbel_noise: whether Gumbel noise is added to the architecture parameters in every training pass (the
            released DASH code: yes, in evaluation as well).
        alpha_gradient: ``raw``; ``total``, the gradient of all architecture parameters together is scaled to
            `alpha_gradient_norm` (the released DASH code); or ``layer``, each layer's is, so that deep layers,
            whose gradients are small, decide as well (measured).
        alpha_gradient_norm: see above (the released DASH code: 1 / 100, on other tasks 1 / 10 to 1 / 5000).
        field_pressure: added to the gradient of each candidate's architecture parameter per position of its field
            d (k - 1) + 1; a small pressure against large fields (the released DASH code: 1e-5).
        schedule: of every rate. ``one-cycle`` warms up and anneals by cosine (Smith and Topin 2018), for few
            passes; ``step`` multiplies by 0.2 after passes 30, 60, 90, 120 and 160 of 200, or those shares of
            any other number (DASH, 1-D retraining).
        search_clip: largest gradient norm in the search; 0 does not clip (DASH: 1).
        retrain_clip: the same when retraining (DASH: none).
        dropout: of the backbone, where it has such a parameter; None leaves its own default.
        augment: whether training batches go through the task's own augmentation, if it has one.
        noise: standard deviation of the Gaussian noise that is added to training inputs.
        mask: part of the positions of each training input that is set to 0 in all channels (Park et al., 2019).
        mixup: both parameters of the beta distribution of Zhang et al. (ICLR 2018) by which pairs of training samples
            and their losses are mixed; 0 does not mix.
        label_smoothing: share of the uniform distribution in the target of each class (Szegedy et al., CVPR 2016).
            None is 0.1 for classes by cross-entropy, else 0.
        refit: whether retraining and the backbone learn from the validation data as well, as soon as all choices are
            made; the last epoch counts then, not the best one. None is yes for fewer than 10 000 samples.
        recalibrate: whether batch norms' statistics are taken over all training data when a training has ended (Wu
            and Johnson, 2021); running averages over small batches may be far from them.
        shortlist: how many candidates are trained for a short while after the search, to retrain the best one on
            validation data. All that was found; from 3 up, the kernel that all layers together favour; ever fewer of
            the found layers with the original kernels in the others; the original kernels alone. 1 retrains what was
            found (DASH), and so does a search for latency.
        shortlist_epochs: epochs of each; of a long list, all are trained for a third first. None is a third of
            `retrain_epochs` where these are given; else 9 passes, and at least `shortlist_steps`.
        shortlist_steps: least number of steps of each where `shortlist_epochs` is None.
        shortlist_share: part of the training data that each pass of a candidate sees, drawn anew.
        shortlist_folds: parts of a cross-validation over all training data; 1 takes the validation data. None is 3
            for at most 10 000 samples (1000, if all have more than 2^27 numbers), else 1.
        shortlist_parts: so many of these parts are held out, one after the other; None is all, or what there is time
            for.
        shortlist_by: ``metric`` or ``loss``; the other one decides between equals. On few samples the loss tells
            networks apart sooner (measured).
        shortlist_margin: standard errors of the difference by which a candidate has to be better than the original
            kernels; else these are retrained. 0 takes the best figure, however small its lead.
        tune: how retraining's learning rate, dropout, weight decay and momentum are tuned after the search: ``none``
            keeps those above; ``grid`` tries all of the lists below, rate by rate, and ends with the first rate
            that brings nothing (DASH); ``tpe`` lets Optuna's TPE choose between their ends and prunes by the median;
            ``asha`` draws at random between their ends, initial weights included, and halves the trials after 1, 2,
            4, ... epochs (DASHA: Xu et al. 2024, arXiv 2411.02796); retraining then starts from the winner's.
        tune_epochs: epochs of one trial. None is as many steps as a candidate of the short list has; of ``asha``, at
            most 20 (DASHA).
        tune_share: part of the training data that each pass of a trial sees, drawn anew (DASH: 0.2).
        tune_trials: trials of ``tpe`` or ``asha`` (DASHA: 120). None is 20 for the first and 40 for the second.
        tune_learning_rates: in the order in which they are tried (DASH: 0.1, 0.01, 0.001). None is that for SGD, and
            0.005, 0.02, 0.001 for Adam; for ``asha`` 1e-5 to 0.5 (DASHA), and to 0.05 for Adam.
        tune_dropouts: (DASH: 0, 0.05).
        tune_weight_decays: None is 5e-4, 5e-6 for SGD (DASH), and 0.2, 5e-4 for Adam; for ``asha`` 5e-7 to 5e-3
            (DASHA), and 5e-4 to 1 for Adam.
        tune_momenta: (DASH: 0.9, 0.99).
        tune_storage: URL of an Optuna storage that several machines reach, such as ``postgresql://…``; empty keeps
            the study in the run's folder, where processes of one machine share it.
        latency_weight: the loss that is added for a network whose convolutions take as long as the unsearched
            backbone's once compiled; the expected latency counts, so less is added for less. 0 looks at the loss
            alone.
        latency_budget: milliseconds that all convolutions may take; the weight is searched for, and the
            architecture keeps to it. None sets no budget.
        latency_target: the engine that is compiled for, as `ExportSettings.target`.
        latency_device: the GPU that is compiled for where it is not here, as `ExportSettings.device`.
        latency_costs: ``measure`` times each candidate on the target, ``estimate`` counts; ``auto`` measures what
            is here.
        precision: ``32-true``, or Lightning's mixed precisions ``16-mixed`` (GPU) and ``bf16-mixed``. None is the
            last for classes and labels where the processor or GPU computes in bfloat16, else the first.
        accumulate: batches whose gradients add up before each step.
        log: ``csv`` writes the history as a table as well, ``tensorboard`` as event files.
        devices: where to compute: ``auto``, a GPU if there is one; ``cpu``; ``cuda``; with a number, ``2`` or
            ``cuda:4``, on so many, each of which takes its part of every batch.
        nodes: machines with so many devices each, on which torchrun or SLURM has started the command.
    """

    backbone: str = "auto"
    width: PositiveInt = 24
    backbone_arguments: dict[str, bool | int | float | str] = Field(default_factory=dict)
    retrain_arguments: dict[str, bool | int | float | str] = Field(default_factory=dict)
    searched_arguments: dict[str, bool | int | float | str] | None = None
    exclude: tuple[str, ...] = ()
    separable: bool = False
    kernel_sizes: tuple[PositiveInt, ...] = Field((3, 5, 7, 9), min_length=1)
    dilations: tuple[PositiveInt, ...] = Field((1, 3, 7, 15), min_length=1)
    method: Method = "auto"
    seed: Annotated[int, Field(ge=0, lt=MOST_SEEDS)] = 0
    batch_size: Annotated[int, Field(ge=2)] | None = None
    search_epochs: PositiveInt | None = None
    search_steps: PositiveInt = 600
    search_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    retrain_epochs: PositiveInt | None = None
    retrain_steps: PositiveInt = 2000
    retrain_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    ensemble: PositiveInt = 1
    towers: PositiveInt | None = None
    narrow_towers: bool | None = None
    reparameterize: bool | None = None
    scale_samples: bool | None = None
    backbone_epochs: PositiveInt | None = None
    backbone_share: Annotated[float, Field(gt=0, le=1)] | None = None
    epoch_passes: PositiveInt | None = None
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: PositiveFloat | None = None
    search_learning_rate: PositiveFloat | None = None
    alpha_learning_rate: PositiveFloat | None = None
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9
    weight_decay: Share | None = None
    alpha_weight_decay: Share = 0.0
    temperature: PositiveFloat = 1.0
    final_temperature: PositiveFloat = 0.05
    gumbel_noise: bool = False
    alpha_gradient: Literal["raw", "total", "layer"] = "raw"
    alpha_gradient_norm: PositiveFloat = 1.0
    field_pressure: NonNegativeFloat = 0.0
    schedule: Literal["one-cycle", "step"] = "one-cycle"
    search_clip: NonNegativeFloat = 1.0
    retrain_clip: NonNegativeFloat = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    augment: bool = True
    noise: NonNegativeFloat = 0.0
    mask: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mixup: NonNegativeFloat = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    refit: bool | None = None
    recalibrate: bool = True
    shortlist: PositiveInt = 7
    shortlist_epochs: PositiveInt | None = None
    shortlist_steps: PositiveInt = 1000
    shortlist_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    shortlist_folds: PositiveInt | None = None
    shortlist_parts: PositiveInt | None = None
    shortlist_by: Literal["metric", "loss"] = "loss"
    shortlist_margin: NonNegativeFloat = 2.0
    tune: Literal["none", "grid", "tpe", "asha"] = "none"
    tune_epochs: PositiveInt | None = None
    tune_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    tune_trials: PositiveInt | None = None
    tune_learning_rates: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] | None = None
    tune_dropouts: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field((0.0, 0.05), min_length=1)
    tune_weight_decays: Annotated[tuple[Share, ...], Field(min_length=1)] | None = None
    tune_momenta: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field((0.9, 0.99), min_length=1)
    tune_storage: str = ""
    latency_weight: NonNegativeFloat = 0.0
    latency_budget: PositiveFloat | None = None
    latency_target: TargetName = TargetName.ORT_CPU
    latency_device: str | None = None
    latency_costs: Literal["auto", "measure", "estimate"] = "auto"
    precision: Precision | None = None
    accumulate: PositiveInt = 1
    log: Literal["none", "csv", "tensorboard"] = "none"
    devices: Annotated[str, BeforeValidator(_devices)] = "auto"
    nodes: PositiveInt = 1

    @field_validator(
        "kernel_sizes",
        "dilations",
        "tune_learning_rates",
        "tune_dropouts",
        "tune_weight_decays",
        "tune_momenta",
    )
    @classmethod
    def _distinct(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and len(set(values)) < len(values):
            raise ValueError(f"{list(values)} names a value twice; name each once")
        return values

    @classmethod
    def preset(cls, name: str, **overrides: object) -> Self:
        """The settings of a preset, some of them overridden.

        Args:
            name: one of `PRESETS`. ``quick`` takes minutes on a CPU; ``paper`` is DASH's protocol.
            overrides: fields of this class.

        Returns:
            The settings.

        Raises:
            InputError: the preset or field does not exist, or a value is not allowed.
        """
        if name not in PRESETS:
            raise InputError(f"`preset={name}`: no such preset; choose from {', '.join(PRESETS)}")
        for field in overrides:
            if field not in cls.model_fields:
                close = get_close_matches(field, cls.model_fields, 1)
                hint = f"did you mean {close[0]}?" if close else f"fields are {', '.join(cls.model_fields)}"
                raise InputError(f"{field}: no such setting; {hint}")
        try:
            dasha = DASHA if name == "paper" and overrides.get("tune") == "asha" else {}
            return cls.model_validate({**PRESETS[name], **dasha, **overrides})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise InputError(f"{where} = {first['input']!r}: {message}") from error


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {},
    "paper": {
        "width": 64,
        "batch_size": 64,
        "search_epochs": 100,
        "search_share": 0.2,
        "retrain_epochs": 200,
        "epoch_passes": 1,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "search_learning_rate": 0.1,
        "alpha_learning_rate": 0.05,
        "final_temperature": 1.0,
        "label_smoothing": 0.0,
        "refit": False,
        "recalibrate": False,
        "searched_arguments": {},
        "shortlist": 1,
        "towers": 1,
        "reparameterize": False,
        "scale_samples": False,
        "precision": "32-true",
        "alpha_weight_decay": 5e-4,
        "gumbel_noise": True,
        "alpha_gradient": "total",
        "alpha_gradient_norm": 0.01,
        "field_pressure": 1e-5,
        "schedule": "step",
        "tune": "grid",
        "tune_epochs": 40,
        "tune_share": 0.2,
    },
}
"""What each preset changes from the defaults."""

DASHA: Mapping[str, Any] = {"tune_epochs": 20, "tune_trials": 120}
"""What else the preset ``paper`` changes where it tunes as the successor of DASH does."""
