"""Routes, the drawing board's WebSocket, middleware and what crosses them."""
