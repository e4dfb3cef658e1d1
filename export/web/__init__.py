"""A bundle as a static web site that predicts in the browser: the page, its files, the check in the page's engine.

Imports `verify`, `dashdeploy.web`, `dashdeploy.runtimes` and `dashdeploy.artifacts`; `deploy` and the pipeline import
it.
"""
