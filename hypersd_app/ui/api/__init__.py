"""Named endpoints for programs and MCP."""
