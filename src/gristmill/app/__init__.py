"""Read settings, build everything, run it; the only importer of adapters."""
