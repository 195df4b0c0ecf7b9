"""The networks of the papers as text, and what a user names to a syntax tree."""
