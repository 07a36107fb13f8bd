"""Serve an exported model over HTTP: TensorFlow Serving's REST API, image files, and a page.

Importing :mod:`kerascw.serving.app` needs the extra ``serve``; nothing here imports TensorFlow.
"""
