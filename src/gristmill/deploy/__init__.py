"""From a folder to a running server: images, registries, Kubernetes, Azure."""
