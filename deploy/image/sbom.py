"""The whole image's bill of materials: python sbom.py PYTHON.json PYTHON > image.json

PYTHON.json : what cyclonedx-py says of the Python packages.    PYTHON : the interpreter that has them.
Adds that interpreter and the packages of Debian, as dpkg has them. Needs cyclonedx-python-lib.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

_FIELDS = ("db:Status-Abbrev", "Package", "Version", "Architecture", "Maintainer")


def main() -> None:
    file, python = sys.argv[1:]
    bom = Bom.from_json(json.loads(Path(file).read_text("utf-8")))
    if bom.metadata.component is not None:
        bom.metadata.component.version = told(python, "-c", "import handful; print(handful.__version__)")
    bom.components.add(interpreter(python))
    bom.components |= set(debian_packages(release()))
    print(JsonV1Dot6(bom).output_as_string(indent=1))


def interpreter(python: str) -> Component:
    """Python itself; in an image of its own it is no package of Debian."""
    version = told(python, "--version").split()[1]
    return Component(
        name="cpython",
        version=version,
        type=ComponentType.PLATFORM,
        bom_ref=f"cpython-{version}",
        purl=PackageURL("generic", None, "cpython", version),
    )


def release() -> dict[str, str]:
    """What /etc/os-release says."""
    lines = Path("/etc/os-release").read_text("utf-8").splitlines()
    return {name: value.strip('"') for name, found, value in (line.partition("=") for line in lines) if found}


def debian_packages(of: dict[str, str]) -> Iterator[Component]:
    """Each package that dpkg has installed."""
    wanted = "\t".join(f"${{{field}}}" for field in _FIELDS) + "\n"
    for line in told("dpkg-query", "--show", f"--showformat={wanted}").splitlines():
        status, name, version, architecture, maintainer = line.split("\t")
        if not status.startswith("ii"):
            continue
        distribution = f"{of['ID']}-{of['VERSION_ID']}"
        purl = PackageURL("deb", of["ID"], name, version, {"arch": architecture, "distro": distribution})
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=purl.to_string(),
            purl=purl,
            supplier=OrganizationalEntity(name=maintainer),
        )


def told(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
