"""Teaching: what happened in a run as a story, told in the terminal or on a page; lessons that run."""
