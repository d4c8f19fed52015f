"""Command that works on jobs beside those that serve."""

import os
from typing import Any

from handful.cli.options import Data, Store
from handful.cli.terminal import say
from handful.settings import Settings


def worker(data: Data = None, store: Store = None) -> None:
    """Work on jobs: train, evaluate, import. For services with HANDFUL_JOB_THREADS=0, on one store.

    As many as wanted, on any machines that reach the store and the blobs. On SIGTERM it gives its job back.
    HANDFUL_MONITOR_PORT has /livez, /readyz and /metrics.

    [dim]$ handful worker --store redis://redis.internal[/dim]
    """
    told: dict[str, Any] = {"data_dir": data, "store_url": store}  # Any: each setting has its own type
    # As in `serve`: training is few rows at a time, and the cores are the encoder's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    settings = Settings(**{name: value for name, value in told.items() if value is not None})
    if settings.job_threads == 0:  # meant for the services that share its environment
        settings = settings.model_copy(update={"job_threads": 1})
    from handful.api.worker import work

    def working(port: int | None) -> None:
        say("Handful works on jobs, and gives back what is under way when it is asked to stop.")
        if port is not None:
            say(f"Probes and counts: http://{settings.host}:{port}/readyz, /livez, /metrics")

    work(settings, working=working)
