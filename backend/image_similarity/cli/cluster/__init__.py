"""The whole stack on one machine, without containers: for development, and for tests of what dies and recovers."""
