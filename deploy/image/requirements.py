"""Print what a project needs, without the project itself: python requirements.py pyproject.toml [EXTRA…]"""

import sys
import tomllib
from pathlib import Path


def main() -> None:
    file, *extras = sys.argv[1:]
    project = tomllib.loads(Path(file).read_text("utf-8"))["project"]
    of_extras = project["optional-dependencies"]
    if unknown := set(extras) - set(of_extras):
        sys.exit(f"no extras: {', '.join(sorted(unknown))}; there are {', '.join(of_extras)}")
    print("\n".join([*project["dependencies"], *(line for extra in extras for line in of_extras[extra])]))


if __name__ == "__main__":
    main()
