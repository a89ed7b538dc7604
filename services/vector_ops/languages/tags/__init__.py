"""Java, C, C++, C#, Ruby and PHP by definitions and references: one engine, a query and a few rules for each."""
