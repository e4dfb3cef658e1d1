"""Hyperparameter tuning by the trials of an Optuna study that several processes may share.

Imports `training`, `supernet`, `staging` and `config`; the top of the search imports it.
"""
