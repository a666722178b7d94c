"""How a model lies on many processes: axes, sharding, tensor, context and pipeline parallelism, gradients over all of them."""
