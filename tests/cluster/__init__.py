"""A real Kubernetes cluster of one node, and the story that is played on it by `scripts/test-cluster`."""
