"""Search and impact: which places of the code a question is about, and what a change reaches."""
