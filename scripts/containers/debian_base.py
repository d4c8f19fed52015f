"""Images from Debian's packages, where no registry of images can be reached."""

import datetime
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from containers.engines import Engine, run, told

PACKAGES = "python3", "python3-venv", "ca-certificates", "libstdc++6"
_DEBIAN = Path(__file__).parents[1] / "debian.sh"
_LEFT_OUT = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)


def debian_base(engine: Engine) -> str:
    """The name of an image with Python, to build on."""
    return debian_image(engine, "handful-base", PACKAGES)


def debian_image(engine: Engine, name: str, packages: Iterable[str]) -> str:
    """The name of an image with Debian's essential packages and some more, not older than this week.

    The packages come from where this machine has its own. Raises SystemExit where that is not Debian.
    """
    sources = sources_of_debian()
    release = sources[0].split()[2].partition("-")[0]
    year, week, _ = datetime.date.today().isocalendar()
    image = f"localhost/{name}:{release}-{year}-{week:02}"
    if engine.has(image):
        return image
    run("sh", str(_DEBIAN), "mmdebstrap", "mmdebstrap")
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        archive = Path(folder) / "files.tar"
        subprocess.run(
            [
                "mmdebstrap",
                "--variant=essential",
                f"--include={','.join(packages)}",
                *(f"--dpkgopt={option}" for option in _LEFT_OUT),
                release,
                str(archive),
                "-",
            ],
            input="\n".join(sources),
            text=True,
            check=True,
        )
        engine.import_files(archive, image)
    return image


def sources_of_debian() -> list[str]:
    """This machine's own sources of Debian's packages, as lines of a sources.list; the release first."""
    wanted = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = ("apt-get", "indextargets", "--format", wanted, "Created-By: Packages", "Origin: Debian")
    found = ""
    if shutil.which("apt-get"):
        found = told(*command)
        if not found:  # its lists are not here yet
            run("apt-get", "update", "--quiet")
            found = told(*command)
    if not found:
        raise SystemExit(
            "no registry of images answers, and this is no Debian to take packages from; "
            "name a base that is here: make image BASE=IMAGE"
        )
    return sorted(set(found.splitlines()), key=lambda line: (len(line.split()[2]), line))
