"""From an open pipeline to images: text, noise, denoising steps, decoding."""
