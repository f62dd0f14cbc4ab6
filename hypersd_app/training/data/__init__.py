"""Training images: vector icons in several drawn styles, composed into captioned scenes."""
