"""The dashboard: what is chosen stands in the sidebar, the pages show it.

Started by ``rvq-lens`` or by ``streamlit run dashboard/app.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parent.parent

PAGES = (
    ("overview.py", "Overview", ":material/monitor_heart:"),
    ("usage.py", "Usage", ":material/bar_chart:"),
    ("codebook_map.py", "Codebook map", ":material/scatter_plot:"),
    ("reconstruction.py", "Reconstruction", ":material/accessibility_new:"),
)


def main() -> None:
    """Draw the sidebar and the page that the address names."""
    # streamlit run puts this file's folder on the path, not the root that the packages stand in.
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from dashboard import state

    st.set_page_config(page_title="RVQ Lens", page_icon=":material/search:", layout="wide")
    folder = Path(__file__).parent / "app_pages"
    page = st.navigation(
        [
            st.Page(folder / file, title=title, icon=icon, default=number == 0)
            for number, (file, title, icon) in enumerate(PAGES)
        ]
    )
    state.choose()
    page.run()


main()
