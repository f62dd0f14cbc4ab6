"""What is in memory, where it stays, and how much there is."""
