"""Build the image, write its bill of materials to build/, and say how big it is.

    python scripts/image.py [--base IMAGE] [--engine docker|podman|buildah] [--tag NAME]…

Docker, Podman or Buildah builds it, whichever works; as root on Debian, Buildah is installed where none is.
Without --base: python:3.12-slim, or, where no registry of images answers, an image made of Debian's packages.
Exits with 1 if it is more than 700 MB.
"""

import argparse
import datetime
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from containers.debian_base import debian_base
from containers.engines import engine
from containers.pip_settings import as_file, local_paths, pip_settings

ROOT = Path(__file__).parents[1]
LIMIT = 700e6  # bytes
BASE = "python:3.12-slim"
SBOM = "/opt/handful/sbom.cdx.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--base", help=f"image to build on; unset: {BASE}, or one of Debian's packages")
    parser.add_argument("--engine", help="docker, podman or buildah; unset: whichever works")
    parser.add_argument("--tag", action="append", help="name; unset: handful:latest and handful:VERSION")
    told = parser.parse_args()
    builder = engine(told.engine)
    base = told.base or (BASE if builder.fetched(BASE) else debian_base(builder))
    tags = told.tag or ["handful:latest", f"handful:{version()}"]
    print(f"{builder.name} builds {', '.join(tags)} on {base}")
    settings = pip_settings()
    with tempfile.NamedTemporaryFile("w", prefix="pip-", suffix=".conf") as file:
        file.write(as_file(settings))
        file.flush()
        builder.build(
            ROOT,
            tags,
            {
                "BASE": base,
                "VERSION": version(),
                "REVISION": revision(),
                "CREATED": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            },
            {"pip": Path(file.name)},
            local_paths(settings),
        )
    sbom = ROOT / "build" / "handful.cdx.json"
    sbom.parent.mkdir(exist_ok=True)
    builder.copy_out(tags[0], SBOM, sbom)
    size = builder.size(tags[0])
    print(f"bill of materials: {sbom.relative_to(ROOT)}")
    print(f"image: {size / 1e6:.0f} MB")
    if size > LIMIT:
        print(f"at most {LIMIT / 1e6:.0f} MB are promised", file=sys.stderr)
        return 1
    return 0


def version() -> str:
    """Handful's, without importing it."""
    text = (ROOT / "src" / "handful" / "__init__.py").read_text("utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def revision() -> str:
    """The commit that is built, with -dirty where files differ from it; unknown outside a clone."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


if __name__ == "__main__":
    sys.exit(main())
