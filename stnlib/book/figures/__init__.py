"""Every figure of the book: functions that take results and return a Matplotlib figure."""
