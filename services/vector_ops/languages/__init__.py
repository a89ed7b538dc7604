"""What is known of each programming language: how its files become facts, and how facts become edges."""
