"""``python -m dashdeploy``: the command line."""

from dashdeploy.cli.app import main

main()
