"""Programs around the executor: make a task folder, draw a data set, run the demo. No task imports them."""
