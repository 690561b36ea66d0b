"""Which weights train, on which loss, and from which checkpoint. It knows no score but as a function that it is handed."""
