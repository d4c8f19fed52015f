"""SIGKILL to processes that write to a store, at random moments, and what is left of it.

Each round two processes write to what the rounds before have left, until both are killed; then every
acknowledged write has to be there, and nothing may be half-written. Exits 1 where that is not so, and keeps
the folder.

    python benchmarks/store_kill.py --rounds 200
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tables import command, print_table, write_result

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.storage.crash.killing import kill_rounds  # what a round is, the tests say


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="handful-kill-"))
    begun = perf_counter()
    try:
        acknowledged = kill_rounds(folder, args.rounds, args.seed)
    except AssertionError as exc:
        print(f"FAILED: {exc}", file=sys.stderr)
        return 1
    took = perf_counter() - begun
    shutil.rmtree(folder)
    rows = [
        {"what": "rounds", "count": args.rounds},
        {"what": "writes acknowledged", "count": acknowledged},
        {"what": "lost or half-written", "count": 0},
    ]
    print_table("SIGKILL to two writers of a SQLite store", rows)
    write_result("store_kill", command(), rows, [f"took {took:.0f} s"], seed=args.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
