"""Which sets of pictures a benchmark is asked to look at."""

import argparse
from pathlib import Path


def offer_sets(parser: argparse.ArgumentParser) -> None:
    """Options --data and --sets."""
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "examples" / "data")
    parser.add_argument(
        "--sets", default="trashnet,clothing", help="folders of --data; those not there are left out"
    )


def folders_of(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[Path]:
    """Those that are there; ends the program where none is."""
    folders = [options.data / name for name in options.sets.split(",") if (options.data / name).is_dir()]
    if not folders:
        parser.error(f"{options.data} holds none of {options.sets}; give a folder of sets with --data")
    return folders
