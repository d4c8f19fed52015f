"""Command that works on jobs beside those that serve."""

from handful.cli.opening import settings_of
from handful.cli.options import Data, Store
from handful.cli.processes import one_thread_of_algebra
from handful.cli.terminal import say


def worker(data: Data = None, store: Store = None) -> None:
    """Work on jobs: train, evaluate, import. For services with HANDFUL_JOB_THREADS=0, on one store.

    As many as wanted, on any machines that reach the store and the blobs. On SIGTERM it gives its job back.
    HANDFUL_MONITOR_PORT has /livez, /readyz and /metrics.

    [dim]$ handful worker --store redis://redis.internal[/dim]
    """
    one_thread_of_algebra()
    settings = settings_of(data, store)
    if settings.job_threads == 0:  # meant for the services that share its environment
        settings = settings.model_copy(update={"job_threads": 1})
    from handful.api.worker import work

    def working(port: int | None) -> None:
        say("Handful works on jobs, and gives back what is under way when it is asked to stop.")
        if port is not None:
            say(f"Probes and counts: http://{settings.host}:{port}/readyz, /livez, /metrics")

    work(settings, working=working)
