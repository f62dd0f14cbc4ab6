"""What runs the networks: torch or OpenVINO, chosen by device and memory."""
