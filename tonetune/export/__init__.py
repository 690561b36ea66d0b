"""The tuned model taken away: as files that other tools load, with proof that they say the same, a card, and publishing.

It knows neither training nor scoring: a run's figures are read from metrics/, a score of served answers is handed in. The programs that serve an
export for the check run apart, and know nothing of this repository.
"""
