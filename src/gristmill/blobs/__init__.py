"""Content by its hash: a directory by default."""

from gristmill.blobs.directory import DirectoryBlobs

__all__ = ["DirectoryBlobs"]
