"""Label models: a vote matrix in, a posterior over the classes out."""
