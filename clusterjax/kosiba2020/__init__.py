"""The tables of Kosiba et al. (2020) on the simulated data: ``python -m clusterjax.kosiba2020 --workdir=FOLDER``."""
