"""Small dual encoders with random weights, built the way that the real ones are."""
