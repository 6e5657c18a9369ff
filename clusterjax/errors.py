"""The one exception for a user's mistake: its message is all that the program prints before a non-zero exit."""


class InputError(ValueError):
    """Bad input: names what was wrong, its value, and what would be right. Never shown with a traceback."""

    def __init__(self, message: str = ""):
        # What a file holds may be quoted: no line breaks, and nothing that a terminal would obey.
        super().__init__("".join(character if character.isprintable() else " " for character in str(message)))
