"""`python -m chaos [WORD ...]`: the fault table for real, all of it or the rows that contain a word."""

import sys

from chaos.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
