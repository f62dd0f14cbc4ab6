"""Images as files and as drawings: PNG, its metadata, scribbles and ink."""
