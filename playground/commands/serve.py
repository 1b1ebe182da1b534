"""`app`."""

import os
from argparse import Namespace


def app(args: Namespace) -> None:
    if args.runs_dir is not None:
        os.environ["RUNS_DIR"] = str(args.runs_dir)
    from playground.app import launch
    from playground.places import find_again

    find_again()
    launch(args.host, args.port, open_browser=False if args.no_browser else None)
