"""What others wrote is text, wherever it is printed."""

from rnn_export.cli.terminal import escape


def test_a_text_of_others_is_no_markup_and_no_command() -> None:
    assert escape("[red]\x1b[2J\x07ü\n") == "\\[red]\ufffd[2J\ufffdü\n"
