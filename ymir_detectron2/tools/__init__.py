"""Programs around the executor: task folders, a drawn dataset, the demo, published weights. No task imports them."""
