"""Rewards for feedback learning: stand-ins trained here for Pocket, and adapters for the real ones where weights are given."""
