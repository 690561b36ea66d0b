"""How fast this is on the machine at hand, beside the libraries as they come: `python -m benchmarks.<name>`."""
