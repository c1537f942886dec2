import re
from urllib.parse import parse_qs

from dashboard import docs
from rvq_core.bundled import bundled_docs


def test_every_text_is_offered_whole():
    topics = docs.topics()
    assert list(topics)[:2] == ["metrics", "verdicts"]
    assert set(topics) == {path.stem for path in bundled_docs().glob("*.md")}
    for name, topic in topics.items():
        text = (bundled_docs() / f"{name}.md").read_text()
        assert text.startswith(f"# {topic.title}\n")
        shown = " ".join([topic.title, *(f"{heading} {body}" for heading, body in topic.sections.items())])
        words_of = re.compile(r"[A-Za-z]{3,}")
        unlinked = re.sub(r"\]?\([^)]*\)", "", re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text))  # no pictures, no targets
        assert set(words_of.findall(unlinked)) <= set(words_of.findall(shown)), name


def test_links_between_texts_lead_to_the_page_and_name_the_section():
    assert "](docs?topic=compare)" in docs.topics()["verdicts"].sections["Why they stand where they do"]
    link = docs.link("metrics", "Maps of codes")
    assert parse_qs(link.partition("?")[2]) == {"topic": ["metrics"], "section": ["Maps of codes"]}
