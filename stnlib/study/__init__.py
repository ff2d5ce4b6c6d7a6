"""Many trainings: run or recorded, one after another, swept over machines, or queued on one."""
