"""Vector icon sets: where they come from, and how an icon is read, painted, recoloured and rendered."""
