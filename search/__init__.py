"""Search: the kernel sizes and dilations that fit a task (DASH), and the network trained with them.

`api` is the Python function, `pipeline` the run from beginning to end, `run_writer` stores what its phases give.
Imports the core and, of the compiler, `dashdeploy.export.planning.candidate_costs` alone; `cli` and `bench` import
it.
"""
