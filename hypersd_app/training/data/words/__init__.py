"""What Pocket can draw and what people call it: concepts, names, kinds, things that have no emoji of their own, and grammar."""
