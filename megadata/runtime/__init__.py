"""How work is cut, spread, resumed and written, whatever the work is."""
