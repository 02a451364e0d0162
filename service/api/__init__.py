"""HTTP alone: parse, one call, render. The wire's schemas stand above the routes that use them."""
