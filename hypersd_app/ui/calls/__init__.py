"""What the page's scripts ask of the server beside the named endpoints."""
