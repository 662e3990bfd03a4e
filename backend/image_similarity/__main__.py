"""`python -m image_similarity`: the command line, where its script is not on the path."""

from image_similarity.cli.main import main

if __name__ == "__main__":
    main()
