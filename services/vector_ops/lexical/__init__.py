"""Full-text ranking: the terms of files and of their chunks, and BM25 over them."""
