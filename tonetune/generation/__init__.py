"""Answers from a model in batches, and how likely it finds given ones. It is purely token ids: no persona, no score."""
