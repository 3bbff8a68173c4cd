"""What only the asynchronous classes have. That they do what the others do is tested in contract/, in both colours."""
