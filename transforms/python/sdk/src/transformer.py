"""The interface `transformer` that the component exports; componentize-py finds
it by this module's name. A transform does not import it."""

from relay_guest._component import Transform

__all__ = ["Transform"]
