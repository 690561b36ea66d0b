"""From questions and answers to train, validation and test: who goes where, what is planted, and the checks that may stop it.

It knows no model, no teacher that could be asked, and no scores.
"""
