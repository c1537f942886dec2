"""Figures: a table in, a Plotly figure out. No Streamlit, no torch, no files."""
