"""A page on which people talk to the tuned model, beside the untuned one, and judge blind.

It knows neither training nor scoring: it lets models answer, and keeps what people choose. Of its modules only `blocks.py` and `server.py` know Gradio.
"""
