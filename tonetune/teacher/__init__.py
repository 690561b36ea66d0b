"""What the teacher is asked, and its answers: from recordings, or asked live.

It knows prompts, personas and questions; how an endpoint is asked is `endpoint`'s. It knows no training and no scores.
"""
