#!/usr/bin/env bash
# torchmetrics decides for each batch anew whether its values are logits, so a metric of logits depends on the batches.
#
# Values outside of 0 to 1 are taken for logits and get a sigmoid. A batch whose logits all happen to lie within 0 to 1 gets none:
# it is judged as probabilities, against 0.5 in place of 0, and its values are compared with the sigmoids of other batches.
#
# Seen with torchmetrics 1.9.0 and torch 2.13.0, binary logits in one batch or in two:
#   accuracy  0.2 0.4 0.3 0.1 | -1 2    one batch 1   two batches 0.3333
#   AUROC     0.6 0.1 | 0.5 2           one batch 1   two batches 0.75
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'torchmetrics==1.9.0' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import torch
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC


def run(metric, logits, labels, cut):
    """The metric of all samples at once, and of those before and from `cut` on as two batches."""
    logits, labels = torch.tensor(logits), torch.tensor(labels)
    found = []
    for batches in ((slice(None),), (slice(cut), slice(cut, None))):
        running = metric()
        for batch in batches:
            running.update(logits[batch], labels[batch])
        found.append(running.compute().item())
    print(metric.__name__, "one batch", found[0], "two batches", found[1])
    return found


logits, labels = [0.2, 0.4, 0.3, 0.1, -1.0, 2.0], [1, 1, 1, 1, 0, 1]
assert all((logit > 0) == label for logit, label in zip(logits, labels, strict=True))
one, two = run(BinaryAccuracy, logits, labels, 4)
assert one == 1 and abs(two - 2 / 6) < 1e-6

logits, labels = [0.6, 0.1, 0.5, 2.0], [1, 0, 0, 1]
assert min(logits[0], logits[3]) > max(logits[1], logits[2])
one, two = run(BinaryAUROC, logits, labels, 2)
assert one == 1 and two == 0.75
PYTHON
