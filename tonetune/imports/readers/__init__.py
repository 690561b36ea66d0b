"""A module for each program or format that texts come out of: its files as messages.

They know nothing of examples, recordings, or what in a message is personal; `formats.py` outside says which of them reads a file.
"""
