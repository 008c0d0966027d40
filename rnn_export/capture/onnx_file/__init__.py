"""An ONNX file made elsewhere: its loops become ``Scan`` where they step through time."""
