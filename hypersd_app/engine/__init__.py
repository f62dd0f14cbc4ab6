"""Serving: requests in, pictures out. Knows nothing of gradio."""
