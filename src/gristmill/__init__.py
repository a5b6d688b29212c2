"""Gristmill: publish a fitted model, in R or Python, as a named, versioned, secured web service."""

__version__ = "0.1.0"

__all__ = ["__version__"]
