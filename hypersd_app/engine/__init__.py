"""Serving: requests in, images out. Knows nothing of gradio."""
