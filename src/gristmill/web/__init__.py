"""HTTP to core and back: the scoring route, the core API, its documents and its errors."""
