"""RVQ Lens, the part that shows: figures, pages and the command that starts them."""
