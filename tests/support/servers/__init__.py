"""Servers on loopback that answer as real ones do, and what they are sent."""
