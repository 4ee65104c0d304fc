"""Command line and servers: the room that may import all others."""
