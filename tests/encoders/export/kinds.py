"""The shapes of models that are exported in these tests."""

KINDS = (
    "clip of open_clip",
    "mobileclip of open_clip",
    "siglip of open_clip",
    "biomed of open_clip",
    "clip of transformers",
    "siglip of transformers",
)
