"""``report.html``: one file, without network, that shows a run, a bundle or a measurement to a person.

Imports `dashdeploy.artifacts`, `dashdeploy.inspect` and `dashdeploy.backbones`; the stages and the command line
import it.
"""
