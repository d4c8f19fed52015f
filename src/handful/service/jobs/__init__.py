"""Jobs: work that outlives its request."""

from handful.service.jobs.jobs import Jobs

__all__ = ["Jobs"]
