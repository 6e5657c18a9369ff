"""The simulated sky, with truth. NumPy, SciPy and astropy only, so that worker processes start quickly."""
