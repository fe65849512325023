"""Read session.yaml, check it, and find what it names."""
