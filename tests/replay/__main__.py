"""Replays vectors on a running server: `python -m tests.replay --base-url URL [--only AREA,…] [--name REGEX]`"""

import argparse
import re
import sys

from tests.replay import commands, kit

AREAS = sorted(path.name.removesuffix(".json.gz") for path in (kit.HERE / "areas").iterdir())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--only", default=",".join(area for area in AREAS if area != "models"))
    parser.add_argument("--name", default="")
    parser.add_argument("--cli", help="command-line program for the areas cli and modelfile")
    parser.add_argument("--no-setup", action="store_true", help="the models exist already")
    parser.add_argument("--quiet", action="store_true", help="names of failures only")
    args = parser.parse_args()
    server = kit.Server(args.base_url, kit.load("models"))
    server.learn() if args.no_setup else server.setup()
    failed = 0
    for area in args.only.split(","):
        good = bad = 0
        for vector, check in checks(area, server, args.cli):
            if re.search(args.name, vector["name"]):
                lines = attempt(check)
                good, bad = (good, bad + 1) if lines else (good + 1, bad)
                if lines:
                    print("FAILED", vector["name"], *([] if args.quiet else lines), sep="\n    ", flush=True)
        print(f"{area}: {good} passed, {bad} failed", flush=True)
        failed += bad
    sys.exit(1 if failed else 0)


def checks(area, server, cli=None):
    """Pairs of a vector and the function that checks it."""
    if area in ("cli", "modelfile"):
        return commands.checks(area, kit.load(area), server, cli)
    return ((vector, lambda vector=vector: kit.check(vector, server)) for vector in kit.load(area))


def attempt(check):
    """The differences; a dropped connection is one too."""
    try:
        return check()
    except Exception as error:
        return [f"! {type(error).__name__}: {error}"]


if __name__ == "__main__":
    main()
