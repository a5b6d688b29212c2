"""The shell process: runs services and sessions of one language, and speaks with the server in frames."""
