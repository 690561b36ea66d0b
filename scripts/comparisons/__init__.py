"""What is compared by DVC experiments: ranks, data, methods, bases, strengths, and a search. No stage imports it."""
