"""Ask pip-audit for known weaknesses of what is installed; say so where its database cannot be reached.

Exits 0 where nothing is known, 1 where something is, 2 where nobody could be asked.

    python scripts/audit.py
"""

import json
import subprocess
import sys
from pathlib import Path

_CLEAN, _WEAK, _UNASKED = 0, 1, 2


def main() -> int:
    command = [str(Path(sys.executable).with_name("pip-audit")), "--skip-editable", "--format", "json"]
    done = subprocess.run(
        [*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        print(
            f"the database of weaknesses could not be asked, so nothing is known: {last[0]}", file=sys.stderr
        )
        return _UNASKED
    weak = [one for one in packages if one.get("vulns")]
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    if len(skipped) == len(packages):
        print(
            "the package index gave no answer about weaknesses of any package, so nothing is known; "
            "run this where https://pypi.org can be reached",
            file=sys.stderr,
        )
        return _UNASKED
    for one in weak:
        for flaw in one["vulns"]:
            mended = ", ".join(flaw["fix_versions"]) or "no release"
            print(f"{one['name']} {one['version']}: {flaw['id']}, mended in {mended}")
    print(f"{len(packages) - len(skipped)} packages asked about, {len(weak)} with known weaknesses")
    if skipped:
        print(f"not asked about: {', '.join(skipped)}")
    return _WEAK if weak else _CLEAN


if __name__ == "__main__":
    sys.exit(main())
