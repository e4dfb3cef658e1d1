"""The expected calibration error against a loop over bins, for classes of samples and of positions."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from dashdeploy.data.task import Split
from dashdeploy.search.training.ensemble_scores import calibration_error


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("scale", [0.02, 1.0, 5.0])
def test_it_is_that_of_fifteen_bins(dense, scale, calibration_error_bin_by_bin):
    torch.manual_seed(0)
    layers = [nn.Conv1d(2, 4, 3, padding=1)] + ([] if dense else [nn.AdaptiveAvgPool1d(1), nn.Flatten()])
    model = nn.Sequential(*layers)
    with torch.no_grad():
        # Small scales leave all probabilities in 0 to 1, as logits as well: they are logits all the same.
        model[0].weight.mul_(scale)
        model[0].bias.fill_(0.5).add_(torch.tensor([0.0, 0.1, 0.2, 0.3]))
    inputs = torch.randn(300, 2, 6)
    with torch.no_grad():
        logits = model(inputs).double().numpy()
    # Classes as probable as the model says: in some bins it is a little too sure, in others not sure enough.
    drawn = torch.multinomial(torch.from_numpy(np.moveaxis(logits, 1, -1)).reshape(-1, 4).softmax(1), 1)
    targets = drawn.view(300, 6) if dense else drawn.view(300)
    assert (scale > 0.02) == bool(logits.min() < 0 or logits.max() > 1)
    probabilities = softmax(np.moveaxis(logits, 1, -1).reshape(-1, 4), axis=1)
    flat = targets.flatten().numpy()
    got = calibration_error(model, Split(inputs, targets), 4)
    assert got == pytest.approx(calibration_error_bin_by_bin(probabilities, flat, 15), abs=1e-6)
    if scale > 0.02:
        assert (
            abs(got - calibration_error_bin_by_bin(probabilities, flat, 10)) > 1e-5
        )  # the number of bins shows
