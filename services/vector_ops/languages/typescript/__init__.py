"""TypeScript and JavaScript: one language of one family, `ecmascript`."""
