"""Models as ONNX graphs. Imported where models are made or vetted, never by a server that scores."""
