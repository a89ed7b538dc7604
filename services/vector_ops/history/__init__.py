"""What past commits say about files: how lately they changed, under which words, and together with which others."""
