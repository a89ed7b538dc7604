"""All that needs the model stack. Only `providers.wire` loads this room, in a worker thread, when a model is in use."""
