"""What the scored answers show: intervals, comparisons, a judge, one page. It does not know a model but through an endpoint."""
