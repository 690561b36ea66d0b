"""What the scored answers show: intervals, comparisons, copying, a judge; tables, samples, one page. It runs no model."""
