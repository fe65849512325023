"""``python -m nwbpipe``: the command line."""

from nwbpipe.cli import main

if __name__ == "__main__":
    main()
