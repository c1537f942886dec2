"""Reports as figures, tables and one HTML file, for a paper and for colleagues. No Streamlit here."""
