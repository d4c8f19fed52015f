"""The store of many nodes: Redis, and blobs for what is large."""
