"""Training: data, autoencoder, teacher, distillation, ControlNet, styles and evaluation."""
