"""How the builtin encoder is made: published weights in, ONNX graphs out."""
