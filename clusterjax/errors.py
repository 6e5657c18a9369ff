"""The one exception for a user's mistake: its message is all that the program prints before a non-zero exit."""


class InputError(ValueError):
    """Bad input: names what was wrong, its value, and what would be right. Never shown with a traceback."""
