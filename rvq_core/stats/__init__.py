"""Statistics of tokens, codebooks and errors: pure functions, arrays in, numbers and tables out."""
