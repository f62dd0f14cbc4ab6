"""What can be run, as data: models, recipes, control kinds, decoders and styles. Imports neither torch nor diffusers."""
