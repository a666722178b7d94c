"""`python -m megadata` and `torchrun -m megadata`."""

from megadata.cli import main

if __name__ == "__main__":
    main()
