"""What the three benchmarks share: peers in environments of their own, load, measures and reports."""
