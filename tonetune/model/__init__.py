"""The base model: found, loaded, quantised, spoken to; and the card of what is trained on it. It does not know scores or systems."""
