"""The command line: lists the verbs and hands over to the room that owns each."""

import argparse
import sys

from pipeline import verbs as pipeline_verbs
from shards import verbs as shards_verbs

DESCRIPTION = "Videos in; captions, subjects, masks and boxes of every frame out, as WebDataset shards."


def main(argv: list[str] | None = None) -> int:
    """Run one verb. 0: done; 1: a check that was asked for found something; 2: wrong use or a place that fails."""
    parser = argparse.ArgumentParser(prog="dreamreel", description=DESCRIPTION)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    pipeline_verbs.add_verbs(verbs)
    shards_verbs.add_verbs(verbs)
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except (ValueError, OSError) as error:
        print(f"dreamreel: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dreamreel: stopped; run the same command again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
