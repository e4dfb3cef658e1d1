"""What both estimators share: parameters, the search, the network's outputs, saving, loading and export."""

from __future__ import annotations

import numbers
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dashdeploy.artifacts.atomic import atomic_directory, write_text_atomically
from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.backbones.run import Run
from dashdeploy.data.task import Kind, Split
from dashdeploy.errors import InputError
from dashdeploy.estimators.description import (
    DESCRIPTION_NAME,
    Description,
    description_of,
    parameters_as_json,
    parameters_of_json,
)
from dashdeploy.estimators.errors import EstimatorInputError, value_errors
from dashdeploy.estimators.run_files import RunFiles
from dashdeploy.estimators.scikit_learn import (
    BaseEstimator,
    check_is_fitted,
    check_random_state,
    validate_data,
)
from dashdeploy.estimators.task import task_of
from dashdeploy.export.api import compile as compile_run
from dashdeploy.progress import silent, to_stderr
from dashdeploy.search.api import reference_of
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.distributed.ranks import devices_of, rank
from dashdeploy.search.pipeline import search
from dashdeploy.search.training.batches import TensorBatches, evaluation_batch
from dashdeploy.search.training.evaluate import CPU

FEWEST_SAMPLES = 3
"""Two to learn from, since batch norm cannot normalize a lone one, and one to validate."""
OWN_NAMES = {"seed": "random_state"}
"""Settings that have another name as parameters of an estimator."""
IN_SETTINGS = ("backbone", "kernel_sizes", "dilations", "width", "search_epochs", "retrain_epochs", "devices")

_CHECKS: Mapping[str, Any] = {"dtype": np.float32, "allow_nd": True}

X = npt.ArrayLike
Array = npt.NDArray[Any]


class DASHEstimator(BaseEstimator):  # type: ignore[misc]
    """A search with scikit-learn's interface; `DASHClassifier` and `DASHRegressor` say what is predicted."""

    _kind: ClassVar[Kind]

    def __init__(
        self,
        backbone: str | Callable[..., nn.Module] = "auto",
        *,
        preset: str = "quick",
        kernel_sizes: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        width: int | None = None,
        search_epochs: int | None = None,
        retrain_epochs: int | None = None,
        normalize: str | None = "auto",
        validation_share: float = 0.15,
        devices: str | int = "auto",
        random_state: int | np.random.RandomState | None = None,
        time_limit: float | None = None,
        settings: Mapping[str, object] | None = None,
        out: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        self.backbone = backbone
        self.preset = preset
        self.kernel_sizes = kernel_sizes
        self.dilations = dilations
        self.width = width
        self.search_epochs = search_epochs
        self.retrain_epochs = retrain_epochs
        self.normalize = normalize
        self.validation_share = validation_share
        self.devices = devices
        self.random_state = random_state
        self.time_limit = time_limit
        self.settings = settings
        self.out = out
        self.verbose = verbose

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to the folder `path`, without pickles.

        The folder is a run as `dashdeploy.search` writes it, with ``estimator.json`` beside: ``dashdeploy inspect``
        and ``dashdeploy export`` read it as well.

        Args:
            path: the folder; it must not exist.

        Raises:
            InputError: it exists or cannot be written, or a parameter cannot be written as JSON.
            NotFittedError: nothing was fitted yet.
        """
        check_is_fitted(self)
        with value_errors():
            text = self._described().text()
            with atomic_directory(Path(path)) as folder:
                self._files.write(folder)
                (folder / DESCRIPTION_NAME).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote, or any run of `dashdeploy.search` that predicts the same kind of thing.

        Args:
            path: the folder.

        Returns:
            A fitted estimator.

        Raises:
            InputError: the folder is missing, damaged, or holds something else.
        """
        with value_errors():
            run = Run.load(path)
            described = description_of(run, cls._kind, cls.__name__)
            try:
                estimator = cls(**parameters_of_json(described.parameters))
            except TypeError as error:
                raise InputError(
                    f"{run.path / DESCRIPTION_NAME}: {error}; save the estimator again"
                ) from error
            estimator._adopt(run, described.sample_shape)
        estimator.n_features_in_ = described.sample_shape[0]
        if described.feature_names is not None:
            estimator.feature_names_in_ = np.array(described.feature_names, dtype=object)
        estimator._learned_from(described)
        return estimator

    def export(self, path: str | Path, **options: object) -> Bundle:
        """Compile the network into a bundle, as `dashdeploy.compile` does with a run.

        Args:
            path: the bundle's folder; it must not exist.
            options: of `dashdeploy.compile`: ``target``, and the fields of `dashdeploy.ExportSettings`, such as
                ``precision="int8"`` or ``artifacts={"torchscript": True}``.

        Returns:
            The bundle. Its model takes [n, channels, length] or [n, channels, height, width], not scaled, and gives
            logits or numbers; a classifier's class names are its labels.

        Raises:
            InputError: the folder exists, or an option is wrong.
            MissingCapabilityError: this machine lacks a package or a device.
            GateError: the compiled model does not agree with the original.
            NotFittedError: nothing was fitted yet.
        """
        check_is_fitted(self)
        progress = to_stderr if self.verbose else silent
        with value_errors(), self._files.on_disk() as run:
            return compile_run(run, out=path, **{"progress": progress, **options})  # type: ignore[arg-type]

    def __sklearn_is_fitted__(self) -> bool:
        """For `check_is_fitted`: the network is there last."""
        return hasattr(self, "_network")

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - sklearn.utils.Tags, which has no types
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Without the network, which its class's code and the run's files give again."""
        return {name: value for name, value in super().__getstate__().items() if name != "_network"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "_files"):
            with self._files.on_disk() as run:
                self._network = run.ensemble_model()

    def _training_data(self, x: X, y: X, **checks: object) -> tuple[Array, Array]:
        """`x` and `y` as arrays, checked by scikit-learn, `x` in float32.

        Raises:
            ValueError, TypeError: they cannot be learned from.
        """
        inputs, targets = validate_data(self, x, y, **_CHECKS, ensure_min_samples=FEWEST_SAMPLES, **checks)
        if inputs.ndim > 4 or 0 in inputs.shape:
            raise EstimatorInputError(
                f"X has shape {list(inputs.shape)}; use [n, length], [n, channels, length] or "
                "[n, channels, height, width], with one entry or more along every axis"
            )
        return inputs, targets

    def _new_data(self, x: X) -> Array:
        """`x` as an array of such samples as `fit` had.

        Raises:
            ValueError, TypeError: it has others.
        """
        inputs: Array = validate_data(self, self._like_fitted(x), reset=False, **_CHECKS)
        if inputs.shape[1:] != self._sample_shape:
            raise EstimatorInputError(
                f"X has samples of shape {list(inputs.shape[1:])}, but {type(self).__name__} was fitted on "
                f"{list(self._sample_shape)}; use the same channels and length"
            )
        return inputs

    def _like_fitted(self, x: X) -> X:
        """`x` with or without the axis of its one channel, as `fit` had it."""
        shape = self._sample_shape
        if isinstance(x, np.ndarray) and x.ndim == 3 and x.shape[1] == 1 and len(shape) == 1:
            return x[:, 0]
        if isinstance(x, np.ndarray) and x.ndim == 2 and (1, *x.shape[1:]) == shape:
            return x[:, None]
        return x

    def _search(
        self,
        x: Array,
        targets: Tensor,
        outputs: int,
        labels: Sequence[str] = (),
        *,
        learned: Mapping[str, object],
    ) -> None:
        """Find and train the network for `x`; only then keep it, together with the attributes `learned`."""
        with value_errors():
            settings = self._search_settings()
            task = task_of(
                type(self).__name__,
                self._kind,
                Split(_inputs(x), targets),
                outputs,
                labels,
                normalize=self.normalize,
                validation_share=self.validation_share,
                seed=settings.seed,
            )
            if self.time_limit is not None and self.time_limit <= 0:
                raise InputError(f"`time_limit={self.time_limit}`: it is in seconds, above 0")
            devices = devices_of(settings)
            if devices.processes > 1 and (self.out is None or not _is_number(self.random_state)):
                raise InputError(
                    f"`devices={self.devices}`: every device runs the program; give an `out` and a number as "
                    "`random_state`, which are the same in all of them"
                )
            from lightning.pytorch.utilities.seed import isolate_rng

            with tempfile.TemporaryDirectory(prefix="dashdeploy-") as parent, isolate_rng():
                out = Path(parent) / type(self).__name__ if self.out is None else Path(self.out)
                run = search(
                    task,
                    settings,
                    out,
                    progress=to_stderr if self.verbose else silent,
                    max_seconds=self.time_limit,
                )
                self._adopt(run, x.shape[1:])
            self.__dict__.update(learned)
            if self.out is not None and not rank(devices):
                write_text_atomically(Path(self.out) / DESCRIPTION_NAME, self._described().text())

    def _search_settings(self) -> SearchSettings:
        """The preset with the parameters that are given, and `settings`."""
        rest = dict(self.settings or {})
        for name in (*IN_SETTINGS, *OWN_NAMES):
            if name in rest:
                raise InputError(
                    f"settings: {name} is a parameter of {type(self).__name__}; use `{OWN_NAMES.get(name, name)}`"
                )
        given = {name: getattr(self, name) for name in IN_SETTINGS if getattr(self, name) is not None}
        given["backbone"] = reference_of(self.backbone)
        return SearchSettings.preset(self.preset, seed=self._seed(), **given, **rest)

    def _seed(self) -> int:
        if _is_number(self.random_state):
            return int(self.random_state)  # type: ignore[arg-type]
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _adopt(self, run: Run, sample_shape: tuple[int, ...]) -> None:
        """Keep `run`."""
        self._files = RunFiles.of(run, type(self).__name__, without=DESCRIPTION_NAME)
        self._sample_shape = sample_shape
        self.architecture_, self.metrics_ = run.architecture, run.metrics
        self._network = run.ensemble_model()

    def _outputs(self, x: X) -> Array:
        """What the network gives for `x`: [n, outputs], float32: a batch's size shows in the last bits of that."""
        check_is_fitted(self)
        inputs = _inputs(self._new_data(x))
        split = Split(inputs, torch.zeros(len(inputs)))
        with torch.inference_mode():
            batches = TensorBatches(split, evaluation_batch(split, CPU))
            outputs = torch.cat([self._network(batch) for batch, _ in batches])
        return outputs.numpy()

    def _described(self, **learned: object) -> Description:
        """What to save; `learned` is what the kind of estimator adds."""
        parameters = self.get_params(deep=False) | {"backbone": reference_of(self.backbone)}
        if not _is_number(self.random_state):
            parameters["random_state"] = None  # the state of a generator is not JSON
        names = getattr(self, "feature_names_in_", None)
        return Description(
            estimator=type(self).__name__,
            parameters=parameters_as_json(parameters),
            sample_shape=self._sample_shape,
            feature_names=None if names is None else list(names),
            **learned,  # type: ignore[arg-type]
        )

    def _learned_from(self, described: Description) -> None:
        """Take what the kind of estimator has added to `described`."""
        raise NotImplementedError


def _inputs(x: Array) -> Tensor:
    """Samples as a network takes them, [n, channels, length] or [n, channels, height, width]; a copy."""
    # NumPy leaves the stride of an axis of one entry open; torch chooses other kernels by it, which round otherwise.
    inputs = torch.from_numpy(np.array(x, order="C"))
    return inputs[:, None] if inputs.ndim == 2 else inputs


def _is_number(state: object) -> bool:
    """Whether a random state is a seed; NumPy's integers are."""
    return isinstance(state, numbers.Integral)
