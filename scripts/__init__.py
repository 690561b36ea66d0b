"""What a person types besides dvc: chat, estimates, recordings, sweeps, checks. No stage imports from here."""
