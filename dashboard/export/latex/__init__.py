"""Tables for a paper: what of a table belongs there, how it fits a page, and its LaTeX."""
