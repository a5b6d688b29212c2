"""Realtime services: models that the server scores natively, without an interpreter."""
