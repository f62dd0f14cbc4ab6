"""What drives a real Chromium at the page: latency of the drawing board, screenshots. Needs Playwright."""
