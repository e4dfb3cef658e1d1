"""scikit-learn estimators: a search as ``fit``, the network that it found as ``predict``.

`classifier` and `regressor` are what users import, as ``dashdeploy.DASHClassifier`` and ``DASHRegressor``; `base` is
what both share, `run_files` the run that a fitted one holds, `description` what it saves besides, and `scikit_learn`
what is used of that package, which the extra ``sklearn`` installs. They stand above the stages: they import
`dashdeploy.search` and `dashdeploy.export`, and only the public API imports them.
"""
