"""What the stages share: rows, recordings, the tone classifier, the base model, training, generation and scores."""
