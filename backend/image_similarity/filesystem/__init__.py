"""Free space on disks, and writes that survive a power cut."""
