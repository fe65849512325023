"""Match lines with a regular expression, in a process of its own: see `_patterns`."""

import json
import re
import sys


def main() -> None:
    """Read ``[pattern, lines]`` as JSON; print the groups of each line, None where it does not match."""
    pattern, lines = json.load(sys.stdin)
    expression = re.compile(pattern)
    matches = [expression.fullmatch(line) for line in lines]
    json.dump([None if match is None else match.groupdict("") for match in matches], sys.stdout)


if __name__ == "__main__":
    main()
