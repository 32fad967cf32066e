"""Workers: engines, the actor pool, markers, storage and the launch of distributed training."""
