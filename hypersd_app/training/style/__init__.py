"""Style LoRAs."""
