"""The tuned model taken away: as files that other tools load, with proof that they say the same, a card, and publishing."""
