"""Rust: `extract` turns content into facts (syntax alone), `resolve` turns facts and the world into edges."""
