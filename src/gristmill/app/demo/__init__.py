"""The script that `gristmill demo` shows and runs."""
