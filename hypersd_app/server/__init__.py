"""What stands between browsers and the engine: the drawing-board socket, session slots, tokens, health."""
