"""Whether a Redis server may be trusted with what it is given."""

from handful.errors import StorageError, StorageSetupError

OLDEST = (7, 0)


def check_server(where: str, info: bytes, *, clustered: bool) -> None:
    """info : the reply to INFO everything.    Raises StorageSetupError with the reason, and what to do.

    A replica is StorageError: it may be about to be promoted.
    """
    facts = _facts(info)
    version = facts.get("redis_version", "0.0")
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise StorageSetupError(f"the Redis at {where} is version {version}; update it to 7.0 or newer")
    if clustered != (facts.get("cluster_enabled") == "1"):
        raise StorageSetupError(
            f"the Redis at {where} is no node of a Cluster; begin its URL with redis:// or redis+sentinel://"
            if clustered
            else f"the Redis at {where} is a node of a Cluster; begin its URL with redis+cluster://"
        )
    if facts.get("role") != "master":
        primary = f"{facts.get('master_host')}:{facts.get('master_port')}"
        raise StorageError(
            f"the Redis at {where} is a replica, which takes no writes; give its primary, {primary}, "
            "or the addresses of the Sentinels as redis+sentinel://"
        )
    policy = facts.get("maxmemory_policy", "unknown")
    if policy != "noeviction" and not policy.startswith("volatile-"):
        raise StorageSetupError(
            f"the Redis at {where} has the eviction policy {policy}, which drops classifiers when memory is "
            "short; set `maxmemory-policy noeviction` (volatile-… may stay: only answers to repeated "
            "requests have a time to live)"
        )


def _facts(info: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, _, value in lines if value}
