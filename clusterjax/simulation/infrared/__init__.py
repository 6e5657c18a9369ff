"""The simulated infrared sky: unWISE W1 and W2."""
