"""The server: settings, logs, sealing keys, and the composition root that puts every part together."""
