"""Hyperparameter tuning by the trials of an Optuna study that several processes may share.

Imports `training` and `config`; the pipeline imports it.
"""
