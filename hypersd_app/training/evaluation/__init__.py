"""What is measured of a teacher and its students: by eye on sheets, and in numbers with floors beside them."""
