"""Training stages of Pocket's own networks: autoencoder, layout prior and teacher."""
