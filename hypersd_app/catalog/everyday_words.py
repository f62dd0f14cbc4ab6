"""What people call things whose usual word stands in a vocabulary: the young, short forms, words of one side of an ocean.

No model was trained with these words, so they are not known; they say which known thing is meant.
"""

from __future__ import annotations

from collections.abc import Mapping

_ROWS = """
cat: kitten pussycat
dog: puppy pup doggy doggie hound
rabbit: bunny
horse: foal pony colt
cow: calf
bear: cub
deer: fawn
frog: tadpole
duck: duckling
goose: gosling
fish: goldfish
bee: wasp
dinosaur: dino
car: auto automobile
bicycle: pushbike
rocket: spaceship spacecraft
ship: vessel
house: cottage
person: somebody
child: kiddo toddler
woman: mum mom mommy granny
man: dad daddy
skull: skeleton
trousers: jeans slacks
glasses: specs
hat: beanie
coat: hoodie
potato: spud
lollipop: lolly
ice cream: gelato
bread: bun
strawberry: raspberry
football: soccer
basket: bucket
"""


def everyday_words() -> Mapping[str, str]:
    """Usual words by what people call the thing."""
    rows = (line.split(": ") for line in _ROWS.strip().splitlines())
    return {name: word for word, names in rows for name in names.split()}
