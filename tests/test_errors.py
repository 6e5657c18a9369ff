"""What a user is told."""

from clusterjax.errors import InputError


def test_a_message_is_one_line_and_nothing_that_a_terminal_obeys():
    assert str(InputError("no column a\nb\r\x1b[2J\u2028; it has é, µK")) == "no column a b  [2J ; it has é, µK"
