"""`python -m image_similarity`: the command line, for use if its script is not on the PATH."""

from image_similarity.cli.main import main

if __name__ == "__main__":
    main()
