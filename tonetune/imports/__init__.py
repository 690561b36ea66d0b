"""One's own texts in: from exports of chats, mails and posts to recordings that the pipeline replays.

It knows neither models on this machine nor stages: what it writes lies where a live teacher's recordings would, and the pipeline sees no difference.
"""
