"""The group ``bench`` and its commands."""

from __future__ import annotations

import typer

from dashdeploy.cli.bench.accuracy import accuracy
from dashdeploy.cli.bench.engines import engines
from dashdeploy.cli.bench.latency import latency
from dashdeploy.cli.bench.layers import layers
from dashdeploy.cli.bench.networks import networks
from dashdeploy.cli.bench.options import MeasuringCommand
from dashdeploy.cli.bench.search_cost import search_cost
from dashdeploy.cli.bench.serve import serve
from dashdeploy.cli.bench.show import show
from dashdeploy.cli.command import Command

bench_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Measure latency, the search and serving."
)
for command in (latency, search_cost, accuracy):
    bench_app.command(cls=MeasuringCommand)(command)
bench_app.command(cls=Command)(show)
for command in (networks, engines, layers, serve):
    bench_app.command(cls=MeasuringCommand)(command)
