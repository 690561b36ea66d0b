"""From answers to train, validation and test: who goes where, and the checks that may stop it. It knows no model."""
