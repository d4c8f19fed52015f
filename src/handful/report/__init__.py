"""An evaluation as a page: one HTML file that needs nothing else."""

from handful.report.page import render as render
from handful.report.page import write as write

__all__ = ["render", "write"]
