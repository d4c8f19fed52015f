"""What Prometheus reads."""

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import REGISTRY

from handful.service import metrics

COUNT = """
import sys
from handful.service import metrics
metrics.BATCH_IMAGES.observe(3)
metrics.JOBS.labels("train", "succeeded").inc()
metrics.HEADS_CACHED_BYTES.set(1000)
"""
READ = """
from handful.api.routes.probes import exposition
print(exposition().decode())
"""


def test_the_names_are_those_that_are_promised() -> None:
    names = {family.name for family in REGISTRY.collect()}
    assert {
        "handful_encoder_queue_seconds",
        "handful_encoder_batch_images",
        "handful_classify_seconds",
        "handful_heads_cached_bytes",
        "handful_jobs",
    } <= names
    assert metrics.JOBS.labels("train", "failed") is not None


def test_no_label_names_a_tenant_or_a_classifier() -> None:
    labels = {
        label
        for family in REGISTRY.collect()
        if family.name.startswith("handful_")
        for sample in family.samples
        for label in sample.labels
    }
    assert not {"tenant", "classifier", "class", "id"} & labels


def test_counts_of_several_processes_are_added(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", COUNT], env=environment, check=True)
    said = subprocess.run(
        [sys.executable, "-c", READ], env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert "handful_encoder_batch_images_sum 6.0" in said
    assert 'handful_jobs_total{kind="train",status="succeeded"} 2.0' in said
