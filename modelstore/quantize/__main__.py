"""`python -m modelstore.quantize`: carry out the order that is read from standard input, in the current directory."""

import os

from modelstore.quantize.engine import carry_out
from modelstore.quantize.worker import main

if __name__ == "__main__":
    os._exit(main(carry_out))  # the guard may be inside a read: leave without waiting for it
