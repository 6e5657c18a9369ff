"""The sky as data: maps with a WCS, cutouts, sky blocks, catalogues. Imports neither jax nor anything that learns."""
