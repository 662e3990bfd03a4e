"""The whole stack on one machine, without containers: for development, and for tests that kill and restart parts."""
