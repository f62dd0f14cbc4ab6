"""Names of files that not every machine can write."""

import os


def writable(name: str, instead: str) -> str:
    """`name`, or `instead` where the file system's encoding lacks its letters, as in an ASCII locale."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return instead
    return name
