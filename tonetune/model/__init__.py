"""The base model: found, loaded, quantised, spoken to through its chat template. It knows nothing of personas or splits."""
