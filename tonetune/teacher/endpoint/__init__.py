"""Asking any OpenAI-compatible model: every response stored and paid for once, within limits.

It knows chats, money and time, but no persona, no question, and not what an answer is for.
"""
