"""Systems asked the same questions with the same seeds: tuned, baselines, rivals, controls, probes. It does not know statistics."""
