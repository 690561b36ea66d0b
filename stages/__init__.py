"""One module a stage of the pipeline, run as `python -m stages.<name>` from the repository's root."""
