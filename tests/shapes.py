"""Checks types as functions are called, shapes of tensors among them: what the tests' import hook decorates with."""

from typing import Any, Self

from beartype import BeartypeConf, FrozenDict, beartype

checked = beartype(conf=BeartypeConf(hint_overrides=FrozenDict({Self: Any})))
"""`Self` is taken at its word, for functions are decorated one by one, outside of their class."""
