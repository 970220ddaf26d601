"""What people see: the magics, the live chart and its hosts."""
