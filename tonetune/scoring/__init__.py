"""From an answer to numbers between 0 and 1: fitted by stages of their own, applied by the rest. It does not know the systems."""
