"""The image: built, and run as it is meant to be."""

import json
import re
import subprocess
from pathlib import Path

from engine import Image, Podman, free_port, ready, until
from photos import photos

import handful

ROOT = Path(__file__).parents[3]
KEY = "a-key-that-only-this-test-knows"
CLOSED = "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"


def test_its_build_ends_with_its_size_which_is_what_is_promised(image: Image) -> None:
    size = re.fullmatch(r"image: (\d+) MB", image.said[-1])
    assert size is not None
    assert 100 < int(size[1]) <= 700


def test_it_says_which_commit_it_is_of(image: Image, podman: Podman) -> None:
    labels = json.loads(podman.run("image", "inspect", "--format", "{{json .Labels}}", image.name))
    told = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in labels.items()
        if name.startswith("org.opencontainers.image.")
    }
    assert told["version"] == handful.__version__
    commit = told["revision"].removesuffix("-dirty")
    kind = subprocess.run(["git", "cat-file", "-t", commit], cwd=ROOT, capture_output=True, check=True).stdout
    assert (len(commit), kind) == (40, b"commit\n")
    assert told["licenses"] == "Apache-2.0"
    assert told["title"] == "Handful"


def test_its_bill_of_materials_names_all_that_is_in_it(image: Image, podman: Podman) -> None:
    inside = podman.run("run", "--rm", "--entrypoint", "cat", image.name, "/opt/handful/sbom.cdx.json")
    beside = (ROOT / "build" / "handful.cdx.json").read_text("utf-8")
    assert json.loads(inside) == json.loads(beside)
    bill = json.loads(inside)
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["version"] == handful.__version__
    kinds = {one["purl"].partition("/")[0]: one["name"] for one in bill["components"] if "purl" in one}
    assert {"pkg:pypi", "pkg:deb", "pkg:generic"} <= set(kinds)
    listed = podman.run(
        "run", "--rm", "--entrypoint", "python", image.name, "-c",
        "from importlib.metadata import distributions; print(*{d.name.lower() for d in distributions()})",
    ).split()  # fmt: skip
    named = {one["name"].lower() for one in bill["components"]}
    assert set(listed) - {"handful"} <= named


def test_it_serves_nobody_without_a_key(image: Image, podman: Podman) -> None:
    done = podman.tried("run", "--rm", image.name)
    assert done.returncode == 1
    assert "there is no API key" in done.stderr


def test_it_serves_from_a_closed_container_with_redis_in_another_and_forgets_nothing(
    image: Image, podman: Podman, peers: dict[str, str], network: str, trashnet: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "admin.key"
    secret.write_text(KEY)
    secret.chmod(0o444)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    service = [
        *CLOSED, "--network", network, "--publish", f"127.0.0.1:{port}:8000", "--memory", "2g",
        "--volume", f"{secret}:/run/secrets/admin_key:ro",
        "--env", "HANDFUL_ADMIN_KEY_FILE=/run/secrets/admin_key",
        "--env", "HANDFUL_STORE_URL=redis://handful-tested-redis:6379/0",
        image.name,
    ]  # fmt: skip
    redis = [
        *CLOSED, "--network", network, "--user", "redis", "--volume", "/data",
        "--entrypoint", "redis-server", peers["REDIS_IMAGE"],
        "--appendonly", "yes", "--dir", "/data", "--bind", "0.0.0.0", "--protected-mode", "no",
    ]  # fmt: skip
    with (
        podman.container("handful-tested-redis", *redis),
        podman.container("handful-tested-service", *service) as name,
    ):
        until(lambda: ready(url))
        with handful.Client(url, api_key=KEY) as client:
            made = client.create_classifier("waste")
            client.add_shots(made.id, *photos(trashnet, 0, 8))
            asked, truth = photos(trashnet, 40, 50)
            before = client.classify(made.id, asked)
            right = sum(said.label == label for said, label in zip(before.predictions, truth, strict=True))
            assert right > len(truth) / 2

            assert podman.run("exec", name, "id", "--user") == "10001"
            for place in ("/opt/handful/touched", "/etc/touched"):
                assert "Read-only file system" in podman.tried("exec", name, "touch", place).stderr
            podman.run("exec", name, "python", "/opt/handful/share/handful/healthy.py")

            podman.run("restart", "handful-tested-redis")
            podman.run("restart", name)
            until(lambda: ready(url))
            after = client.classify(made.id, asked)
            assert [said.label for said in after.predictions] == [said.label for said in before.predictions]
            assert client.classifier(made.id).shots == 24
            shot = next(client.shots(made.id))
            assert client.shot_image(made.id, shot.id)[:2] == b"\xff\xd8"  # a JPEG, from the volume

        podman.run("stop", "--time", "30", name)
        assert podman.run("inspect", "--format", "{{.State.ExitCode}}", name) == "0"


def test_its_demonstration_needs_no_network(image: Image, podman: Podman) -> None:
    demo = [*CLOSED, "--network", "none", image.name, "demo", "/tmp/report.html"]
    done = podman.tried("run", "--rm", *demo)
    assert done.returncode == 0, done.stderr
    assert "Accuracy on photos not shown" in done.stdout
    assert "/tmp/report.html" in done.stdout
