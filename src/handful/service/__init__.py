"""Service: the use cases. Knows encoders, adapters and storage; knows no HTTP."""
