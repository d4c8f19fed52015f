"""What happens around every request; plain ASGI, so that it costs little."""
