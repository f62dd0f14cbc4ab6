"""The words that pictures go by, as data: names, kinds and the things that have no emoji of their own."""
