"""One sky for the infrared and the microwave survey: the same haloes as galaxies and as SZ effect, the same AGN."""
