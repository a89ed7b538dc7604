"""The graph of symbols behind one port: SQLite's tables by default, Neo4j through the driver."""
