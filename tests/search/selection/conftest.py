"""What the tests of the short list's comparisons share."""

from types import SimpleNamespace

import pytest

from dashdeploy.search.selection import shortlist as module
from dashdeploy.search.selection.choice import Score
from dashdeploy.search.selection.paired_difference import Figure


@pytest.fixture
def architecture(finished):
    """Wide enough to be divided."""
    return finished.architecture.model_copy(
        update={"arguments": {**finished.architecture.arguments, "width": 24}}
    )


@pytest.fixture
def choose(waves_task, small, architecture, tmp_path, monkeypatch):
    """Choose by losses that are given by what is trained, one per fold; says what was trained."""
    (tmp_path / "checkpoints").mkdir()
    trained, said = [], []

    def run(losses, seconds=None, **changes):
        def instead(task, settings, candidate, fold, folder, phase):  # noqa: ARG001
            name = ("towers" if candidate.towers else "one") + " by branches" * phase.reparameterize
            name += ", scaled" * bool(candidate.searched_arguments.get("scale_samples"))
            trained.append((name, fold))
            value = losses[name][fold]
            if value is None:  # diverged
                return Score(seconds=1.0)
            figure = Figure(value=value, without=(value,) * 30)
            return Score(seconds=1.0, loss=figure, metric=figure.model_copy(update={"value": 1 - value}))

        monkeypatch.setattr(module, "judged", instead)
        asked = {"shortlist": 2, "towers": None, "shortlist_by": "loss", "shortlist_folds": 2, **changes}
        settings = small.model_copy(update={**asked, "shortlist_parts": asked["shortlist_folds"]})
        listed = module.choose_from_shortlist(
            waves_task, settings, architecture, tmp_path, seconds=seconds, progress=said.append
        )
        return SimpleNamespace(listed=listed, branches=listed.applied(settings).reparameterize)

    run.trained, run.said = trained, said
    return run
