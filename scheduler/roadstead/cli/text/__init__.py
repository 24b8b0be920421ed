"""How reports look on a screen: values in, rich renderables out, with nothing decided on the way."""
