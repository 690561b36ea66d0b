"""What the teacher is asked, and its answers: replayed from recordings, or asked live. It knows nothing of training or scores."""
