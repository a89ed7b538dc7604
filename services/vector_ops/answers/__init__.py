"""What a view of the index answers, verb by verb; pure."""
