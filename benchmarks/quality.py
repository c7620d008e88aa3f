"""How well sessions, routing and recall do on conversations that people have annotated.

    .venv/bin/python -m benchmarks.quality sessions FILE… [--explicit 0.3]
    .venv/bin/python -m benchmarks.quality routing DATA --cards benchmarks/cards.yaml --chat FILE
    .venv/bin/python -m benchmarks.quality recall FILE… [--speed]

Each prints a table; what the files look like stands in the module of the part."""

from __future__ import annotations

import argparse
import sys

from . import quality_recall, quality_routing, quality_sessions


def main() -> int:
    """Scores the part that the command line names."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(required=True, metavar="part")
    for name, part in (("sessions", quality_sessions), ("routing", quality_routing), ("recall", quality_recall)):
        asked = parts.add_parser(
            name, help=(part.__doc__ or "").split("\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
        )
        asked.description = part.__doc__
        part.add(asked)
        asked.set_defaults(run=part.run)
    arguments = parser.parse_args()
    return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
