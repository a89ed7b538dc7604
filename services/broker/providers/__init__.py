"""The wires to model providers. Importing this room loads no SDK; `PydanticWire.warm` does (ADR-0014)."""
