"""Dense vectors of chunks: what embeds them, where they are kept, and which chunks lie nearest to a text."""
