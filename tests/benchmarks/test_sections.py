"""BENCHMARKS.md: what one command writes, the others leave."""

from benchmarks.sections import MARK, OUT, kept, replaced


def test_a_section_is_replaced_and_the_others_stay() -> None:
    text = replaced(replaced("# All\n", "One", "1"), "Two", "2")
    assert replaced(text, "One", "3") == replaced(replaced("# All\n", "One", "3"), "Two", "2")
    assert replaced(text, "Two", "2") == text
    assert text.startswith("# All\n")
    assert "# New\n" + kept(text) == text.replace("# All", "# New")
    assert kept("# All\n") == ""


def test_the_document_names_the_command_of_each_section() -> None:
    _, _, sections = OUT.read_text().partition(MARK)
    assert sections.count("\n## ") == sections.count("\nWritten by `") > 0
