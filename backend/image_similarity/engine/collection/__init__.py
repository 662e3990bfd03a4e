"""What a collection holds: indexing, writing, reading, deleting, and what is put right later."""
