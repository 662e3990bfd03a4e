"""What users think of results: kept, exported, and asked whether it would have helped."""
