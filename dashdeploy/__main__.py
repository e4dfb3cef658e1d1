"""``python -m dashdeploy``: the command line."""

from dashdeploy.cli import main

main()
