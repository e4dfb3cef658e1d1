"""Search: the kernel sizes and dilations that fit a task (DASH), and the network trained with them.

`api` is the Python function, `pipeline` the run from beginning to end. Imports the core and, for costs alone,
`dashdeploy.export`; `cli` and `bench` import it.
"""
