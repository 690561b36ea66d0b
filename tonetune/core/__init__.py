"""What every command stands on: params, personas, rows, files, errors. It knows no model, no teacher and no score."""
