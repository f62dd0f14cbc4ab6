"""What the page is set in: theme, scripts, visitors, and Gradio made to answer as we do: checked arguments and our errors."""
