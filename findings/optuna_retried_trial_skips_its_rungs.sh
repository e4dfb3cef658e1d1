#!/usr/bin/env bash
# Optuna's RetryHeartbeatStaleTrialCallback copies the rungs of a dead trial: the retry is not judged at them again, and
# SuccessiveHalvingPruner counts the values of both.
#
# A worker that dies after the pruner has said "prune" and before the trial is stored as pruned comes back as a trial that
# passes that rung with the same value. From then on the rung holds the value twice, so that others are promoted which
# would have been pruned. The pruner keeps what it knows as the attributes completed_rung_N, of failed trials as well.
#
# Seen with optuna 5.0.0 and SQLite: after 0.9, the value 0.1 is pruned at the first rung; where its worker died, the
# retry with 0.1 goes on. Then 0.5 is pruned without a death, and promoted with one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'optuna==5.0.0' 'sqlalchemy==2.1.9'
cd "$folder"
cat > halving.py <<'PYTHON'
import os
import sys
import time
import warnings

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def study_of(name):
    storage = RDBStorage(
        "sqlite:///study.db",
        heartbeat_interval=1,
        grace_period=2,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
    )
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    return optuna.create_study(
        study_name=name, storage=storage, pruner=pruner, direction="maximize", load_if_exists=True
    )


def run(study, value, *, dies=False):
    """One trial that has `value` after its only step; gives what the pruner says of it."""
    said = []

    def objective(trial):
        trial.suggest_float("x", value, value)
        trial.report(value, 1)
        said.append(trial.should_prune())
        if dies:
            time.sleep(1.5)  # for a heartbeat
            os._exit(0)
        if said[0]:
            raise optuna.TrialPruned
        return value

    study.optimize(objective, n_trials=1)
    return said[0]


if sys.argv[1] == "die":
    run(study_of("killed"), 0.1, dies=True)

undisturbed = study_of("undisturbed")
without = [run(undisturbed, value) for value in (0.9, 0.1, 0.5)]
killed = study_of("killed")
first = run(killed, 0.9)
assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, __file__, "die") == 0
time.sleep(4)
optuna.storages.fail_stale_trials(killed)
assert [trial.state for trial in killed.trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING]
rungs = [trial.system_attrs.get("completed_rung_0") for trial in killed.trials]
with_death = [first, run(killed, 0.1), run(killed, 0.5)]
print("optuna", optuna.__version__)
print("pruned without a death:", without, "with one:", with_death)
print("values at the first rung before the retry has run:", rungs)
assert without == [False, True, True]
assert with_death == [False, False, False]
assert rungs == [0.9, 0.1, 0.1]
PYTHON
venv/bin/python halving.py run
