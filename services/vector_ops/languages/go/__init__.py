"""Go: what a file says, and where its names lead."""
