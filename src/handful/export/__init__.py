"""Models of open_clip and transformers as folders of ONNX files. Needs the extra `export`."""

from handful.export.encoder import export_encoder

__all__ = ["export_encoder"]
