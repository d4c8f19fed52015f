"""What is counted for Prometheus; no label names a tenant or a classifier."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

CLASSIFY_SECONDS = Histogram(
    "handful_classify_seconds", "Time of a request to classify, without the network", buckets=_SECONDS
)
SCORE_SECONDS = Histogram("handful_score_seconds", "Time that a head takes for a request", buckets=_SECONDS)
DECODE_SECONDS = Histogram("handful_decode_seconds", "Time to decode a picture", buckets=_SECONDS)
QUEUE_SECONDS = Histogram(
    "handful_encoder_queue_seconds", "Time that a picture waits for the encoder", buckets=_SECONDS
)
ENCODE_SECONDS = Histogram("handful_encoder_seconds", "Time to encode a batch", buckets=_SECONDS)
BATCH_IMAGES = Histogram(
    "handful_encoder_batch_images", "Pictures encoded together", buckets=(1, 2, 4, 8, 16, 32, 64)
)
WAITING_IMAGES = Gauge(
    "handful_encoder_waiting_images",
    "Pictures that wait to be decoded or encoded",
    multiprocess_mode="livesum",
)
EMBEDDINGS_FOUND = Counter("handful_embeddings_found", "Embeddings that were known already", ["kind"])
EMBEDDINGS_MADE = Counter("handful_embeddings_made", "Embeddings that were made", ["kind"])
ENCODERS_LOADED_BYTES = Gauge(
    "handful_encoders_loaded_bytes",
    "About the memory of encoders that are loaded",
    multiprocess_mode="livesum",
)
ENCODER_LOADS = Counter("handful_encoder_loads", "Encoders that came into memory")
ENCODER_UNLOADS = Counter("handful_encoder_unloads", "Encoders that left memory for others, or unused")
HEADS_CACHED_BYTES = Gauge(
    "handful_heads_cached_bytes", "Memory of heads that are ready to answer", multiprocess_mode="livesum"
)
HEADS_MADE = Counter("handful_heads_made", "Heads that were compiled")
HEADS_LOST = Counter("handful_heads_lost", "Compiled heads that could not be kept in the store")
HEAD_SECONDS = Histogram("handful_head_seconds", "Time to compile a head", buckets=_SECONDS)
INDEX_SECONDS = Histogram(
    "handful_index_seconds", "Time to build or open the index of a head with very many classes", buckets=_LONG
)
INDEXES_LOST = Counter("handful_indexes_lost", "Indexes of heads that could not be built")
JOBS = Counter("handful_jobs", "Jobs that came to their end", ["kind", "status"])
JOB_SECONDS = Histogram("handful_job_seconds", "Time of a job", ["kind"], buckets=_LONG)
