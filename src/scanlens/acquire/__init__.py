"""Stage acquire: list the data set, or draw the phantoms."""
