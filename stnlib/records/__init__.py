"""What trainings gave: files of studies, records of runs, tables, and what became of them."""
