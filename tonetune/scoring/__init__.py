"""From an answer to numbers between 0 and 1: fitted by two stages, applied by the rest. It knows no system that is compared."""
