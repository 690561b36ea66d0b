"""What the words of a text say by themselves: which carry its matter, how often they repeat, and texts with words spoiled."""
