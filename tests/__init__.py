"""A package: a plain folder would lose to another package `tests` on the path, as detectron2's checkout has one."""
