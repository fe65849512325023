"""``python -m nwbpipe``: the command line."""

from nwbpipe.cli import main

main()
