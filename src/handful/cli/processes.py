"""How processes that serve or work are set up before they load anything heavy."""

import os


def one_thread_of_algebra() -> None:
    """Unless the environment says otherwise: on few rows it is fastest, and the cores are the encoder's."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
