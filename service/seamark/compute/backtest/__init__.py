"""A trace and policies become what each would have cost and broken."""
