"""Weights from the Hugging Face Hub and how they are downloaded."""
