"""Which weights train, on which loss, and from which checkpoint. It does not know the scores but as a function it is handed."""
