"""A page on which people talk to the tuned model, beside the untuned one, and judge blind."""
