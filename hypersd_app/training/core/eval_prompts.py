"""The 48 prompts every sheet and every judgement uses: trained names, words never trained on, compositions."""

from __future__ import annotations

EVALUATION_PROMPTS: tuple[str, ...] = (
    # what the README promises, among them words that no caption contains
    "red apple", "a blue car", "cat with sunglasses", "kitten", "a rocket and the moon", "automobile", "a puppy", "a bunny",
    # single things
    "a pizza", "a penguin", "an owl", "a sunflower", "a cactus", "a birthday cake", "a cup of coffee", "a bicycle",
    "a sailboat", "an airplane", "a guitar", "a robot", "a ghost", "a snowman", "a castle", "a teddy bear",
    "a lion", "a frog", "an octopus", "a butterfly", "a strawberry", "a light bulb", "a crown", "a rainbow",
    # colours
    "a green car", "a purple mushroom", "a pink house", "a blue butterfly", "a yellow balloon", "a black cat",
    # counts, pairs and sizes
    "two cherries", "three stars", "two dogs", "a cat and a dog", "an apple next to a banana", "a star above a house",
    "a small tree", "a dog with a crown",
    # styles
    "a fox, soft 3d style", "a panda, flat style",
)  # fmt: skip
