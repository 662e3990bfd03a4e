"""What is made of a ranking before it is an answer: where it ends, what is alike, what belongs together."""
