"""`python -m undercroft.cli`, where the installed script is not on the path."""

from undercroft.cli.app import main

main()
