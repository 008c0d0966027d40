"""The table of what exports: an error stands beside that of eager PyTorch, which says what it is worth."""

from benchmarks.what_exports import PAGE, START

TIMES, SMALL = 4, 1e-6  # of eager's own error, and what is none


def test_no_file_is_further_off_than_float32_itself() -> None:
    text = PAGE.read_text()
    head, _, *rows = text[text.index(START) :].strip().splitlines()
    names = [name.strip() for name in head.strip("|").split("|")]
    assert names[-2:] == ["worst error", "eager's own"]
    for row in rows:
        error, own = map(float, row.strip("|").split("|")[-2:])
        assert error <= TIMES * own + SMALL, row
