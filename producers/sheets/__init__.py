"""Reporters' tables: cells, headings, forms, statements out of their rows, the rejects file, and the form to fill in."""
