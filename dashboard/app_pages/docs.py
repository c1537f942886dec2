"""Docs: the text behind every "what is this?", without leaving the dashboard."""

from __future__ import annotations

import streamlit as st

from dashboard import docs

WHOLE = "the whole text"


def main() -> None:
    st.title("Docs", anchor=False)
    topics = docs.topics()
    with st.container(horizontal=True):
        name = st.selectbox("Text", list(topics), key="topic", bind="query-params", width=360, help="A file of docs/.")
        topic = topics[name]
        names = [WHOLE, *(section for section in topic.sections if section)]
        chosen = st.selectbox("Section", names, key="section", bind="query-params", width=360)
    st.header(topic.title, anchor=False)
    for section, text in topic.sections.items():
        if chosen in (WHOLE, section):
            if section:
                st.subheader(section, anchor=False)
            st.markdown(text)


main()
