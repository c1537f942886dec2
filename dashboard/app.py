"""The dashboard: what is chosen stands in the sidebar, the pages show it.

Started by ``rvq-lens`` or by ``streamlit run dashboard/app.py``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import streamlit as st
from streamlit.runtime.scriptrunner import StopException

ROOT = Path(__file__).resolve().parent.parent

PAGES = (
    ("overview.py", "Overview", ":material/monitor_heart:"),
    ("usage.py", "Usage", ":material/bar_chart:"),
    ("codebook_map.py", "Codebook map", ":material/scatter_plot:"),
    ("code.py", "Code", ":material/target:"),
    ("reconstruction.py", "Reconstruction", ":material/accessibility_new:"),
    ("clip.py", "Clip", ":material/play_circle:"),
    ("compare.py", "Compare", ":material/compare_arrows:"),
    ("training.py", "Training", ":material/trending_down:"),
    ("export.py", "Export", ":material/download:"),
    ("docs.py", "Docs", ":material/menu_book:"),
)

# A drawing of our own: a named icon would be fetched from the network.
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="7" cy="7" r="5.2" fill="#fff"
stroke="#0072B2" stroke-width="1.8"/><path d="M11 11l4 4" stroke="#0072B2" stroke-width="2.4"/>
<rect x="4.4" y="6.6" width="1.4" height="2.8" fill="#D55E00"/><rect x="6.4" y="4.4" width="1.4" height="5"
fill="#009E73"/><rect x="8.4" y="5.6" width="1.4" height="3.8" fill="#E69F00"/></svg>"""

# Streamlit leaves 5 rem on both sides and 6 rem above: a third of a 1280 pixel screen beside the sidebar.
STYLE = "<style>.stMainBlockContainer { padding: 4rem 2.5rem; }</style>"


def main() -> None:
    """Draw the sidebar and the page that the address names."""
    # streamlit run puts this file's folder on the path, not the root that the packages stand in.
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    # Read when torch is imported, by the pages: threads that wait busily slow all down on a machine with other work.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from dashboard import breadcrumb, components, history, linked, login, state

    st.set_page_config(page_title="RVQ Lens", page_icon=ICON, layout="wide")
    st.html(STYLE)
    login.ask()
    folder = Path(__file__).parent / "app_pages"
    pages = [
        st.Page(folder / file, title=title, icon=icon, default=number == 0)
        for number, (file, title, icon) in enumerate(PAGES)
    ]
    page = st.navigation({"RVQ Lens": pages})
    told = st.container()
    try:
        with st.sidebar:
            history.keep_entries()
        state.choose(page.url_path)
        linked.begin(state.checkpoint_name(), state.current().part)
        breadcrumb.show()
        page.run()
    except StopException:  # a page that has said why it shows no more
        pass
    except Exception as error:  # a mistake of ours: Streamlit's own box would only name its logs
        components.unexpected(error)
    with told:
        components.links_not_followed()


if __name__ == "__main__":  # as which Streamlit runs it
    main()
