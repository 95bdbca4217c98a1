"""What the checker shows: the table, the words under it, and the same as JSON."""
