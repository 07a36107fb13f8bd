"""Write a kept run as SavedModel, Keras, ONNX or LiteRT; prove it, load it, predict with it."""
