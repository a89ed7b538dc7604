import pytest

from cli.projects import MAX_PRD_BYTES, read_prd
from services.kernel.errors import InvalidRequestError


def test_words_are_taken_as_they_are():
    assert read_prd("rename a to b") == "rename a to b"


def test_a_file_is_read(tmp_path):
    file = tmp_path / "prd.md"
    file.write_text("# Rename\nrename a to b\n")
    assert read_prd(str(file)) == "# Rename\nrename a to b\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"text\0more", "binary"),
        (b"x" * (MAX_PRD_BYTES + 1), "at most"),
    ],
)
def test_a_useless_prd_is_refused_in_one_line(tmp_path, content, words):
    file = tmp_path / "prd.txt"
    file.write_bytes(content)
    with pytest.raises(InvalidRequestError, match=words) as caught:
        read_prd(str(file))
    assert "\n" not in caught.value.detail


def test_words_longer_than_a_file_name_are_words():
    assert read_prd("rename a to b " * 1000).startswith("rename")
