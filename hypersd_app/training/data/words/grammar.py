"""Articles and plurals of the names that captions use."""

from __future__ import annotations

import re

_IRREGULAR = {"mouse": "mice", "fish": "fish", "sheep": "sheep", "goose": "geese", "foot": "feet", "knife": "knives",
              "leaf": "leaves", "wolf": "wolves", "person": "people", "deer": "deer", "ox": "oxen", "tooth": "teeth",
              "man": "men", "woman": "women", "child": "children", "loaf": "loaves", "shelf": "shelves", "scarf": "scarves",
              "calf": "calves", "policeman": "policemen", "fireman": "firemen", "snowman": "snowmen", "potato": "potatoes",
              "tomato": "tomatoes", "mango": "mangoes", "aircraft": "aircraft", "moose": "moose", "squid": "squid"}  # fmt: skip
_UNCOUNTED = frozenset((
    "money", "cash", "rain", "snow", "wind", "blood", "hair", "smoke", "grass", "sugar", "honey", "rice", "bread", "cheese",
    "milk", "water", "juice", "wine", "beer", "tea", "coffee", "chocolate", "meat", "beef", "ham", "butter", "salt",
    "jewelry", "clothing", "furniture", "luggage", "baggage", "cutlery", "food", "weather", "underwear", "wool", "popcorn",
    "spaghetti", "pasta", "ramen", "sushi", "corn", "wheat", "garlic", "lettuce", "broccoli", "seafood", "fog", "mist",
    "fire", "lightning", "thunder", "algae", "seaweed", "earth", "space", "yoga", "meditation", "toast", "trash", "chess",
    "poker", "golf", "tennis", "hockey", "badminton",
))  # fmt: skip
_ARTICLELESS = re.compile(
    r"^(?:the|two|three|someone|something|[a-z]+'s (?:suit|hat)|fries|cheers|hello)\b|^[a-z]+ing(?: an? .*| out .*| with .*)?$"
)
_THINGS_IN_ING = frozenset((
    "ring", "king", "wing", "painting", "building", "swing", "spring", "string", "wedding", "pudding", "dumpling", "seedling",
    "earring",
))  # fmt: skip
_DOING = "running|walking|swimming|standing|sleeping|kneeling|surfing|biking|climbing|bowing|dancing|golfing|juggling|bathing"
_TAIL = re.compile(rf" (?:(?:of|with|in|from|on|behind|covering|at|for) .*|(?:{_DOING})(?: .*)?)$")


def with_article(noun: str) -> str:
    """ "apple" to "an apple"; plural names, names of stuff and names with an article of their own keep none."""
    head = _TAIL.sub("", noun)
    last = head.split()[-1]
    bare = _ARTICLELESS.match(noun) and noun not in _THINGS_IN_ING
    if bare or last in _UNCOUNTED or (last.endswith("s") and not last.endswith(("ss", "us", "is"))):
        return noun
    return f"{'an' if noun[0] in 'aeiou' and not noun.startswith(('uni', 'ufo', 'euro', 'one ')) else 'a'} {noun}"


def plural(noun: str) -> str:
    """The plural of a name by its last word, or by the one before "of", "with" and the like."""
    tail = _TAIL.search(noun)
    if tail:
        return plural(noun[: tail.start()]) + tail.group(0)
    head, _, last = noun.rpartition(" ")
    prefix = f"{head} " if head else ""
    if last in _IRREGULAR:
        return prefix + _IRREGULAR[last]
    if last.endswith("s") and not last.endswith(("ss", "us")):
        return noun
    if last.endswith(("ch", "sh", "x", "ss", "us", "z")):
        return f"{prefix}{last}es"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return f"{prefix}{last[:-1]}ies"
    return f"{prefix}{last}s"
