"""What all collections share: types, errors, indexes, guarded writes and paged reads."""
