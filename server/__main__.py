"""`python -m server <command>`: the daemon (`serve`) and the commands that talk to it."""

import sys

from server import cli


def main() -> int:
    """Run one command; the exit status."""
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
