"""Storage: what the service knows, kept durably."""
