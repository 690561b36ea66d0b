"""Answers from a model in batches, and how likely it finds given ones; prompts are token ids. It does not know personas or scores."""
