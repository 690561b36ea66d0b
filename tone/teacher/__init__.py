"""The teacher: what is asked of it, and how a request finds its response, in the recordings or from a live model."""
