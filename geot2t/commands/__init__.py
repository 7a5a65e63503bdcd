"""Commands, a module each: parse, call one function, print one result."""
