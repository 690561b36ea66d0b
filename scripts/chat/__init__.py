"""`python -m scripts.chat`: talk to the tuned model, in a terminal or question by question."""
