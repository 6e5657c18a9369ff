"""The simulated microwave sky: the CMB, foregrounds, sources and the Sunyaev-Zel'dovich effect of clusters."""
