"""What every pass here is: a class of onnx_ir's pass infrastructure that also says what it left alone, and why."""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from dashdeploy.export.frontend.graph_values import UnusedNames, graphs_of, is_operator, value_names

_LOG = logging.getLogger(__name__)

Match = TypeVar("Match")


class NoMatchError(Exception):
    """A pattern does not match at a node; the message says what is missing."""


@dataclass(frozen=True)
class Unmatched:
    """What a pass left as it was.

    Attributes:
        name: of the node, layer or group.
        reason: why the pattern did not match there.
    """

    name: str
    reason: str


class GraphPass(InPlacePass):
    """A pass over a model: its main graph, and the bodies of control flow where the pass says nothing else.

    A subclass states the rewrite and what it needs in its docstring. `PassResult.modified` says whether the graph
    changed.

    Attributes:
        unmatched: what the last run left as it was, with the reason.
    """

    def __init__(self) -> None:
        self.unmatched: list[Unmatched] = []

    def call(self, model: ir.Model) -> PassResult:
        """Rewrite the model."""
        self.unmatched = []
        return PassResult(model, self.rewrite(model))

    @abstractmethod
    def rewrite(self, model: ir.Model) -> bool:
        """Change the model in place; returns whether anything was changed."""

    def leave(self, name: str | None, reason: str) -> None:
        """Record that something stays as it is."""
        _LOG.debug("%s leaves %s: %s", type(self).__name__, name, reason)
        self.unmatched.append(Unmatched(str(name), reason))


class NodePass(GraphPass, Generic[Match]):
    """A pass that looks for one pattern, which ends in one operator.

    Attributes:
        operator: the last operator of the pattern, of ONNX's own domain.
    """

    operator: ClassVar[str]

    def rewrite(self, model: ir.Model) -> bool:
        """Rewrite the pattern wherever it matches, graph by graph, in the graph's order."""
        names = UnusedNames(value_names(model.graph))
        rewritten = [self._rewrite_graph(graph, names) for graph in graphs_of(model)]
        return any(rewritten)

    def _rewrite_graph(self, graph: ir.Graph, names: UnusedNames) -> bool:
        modified = False
        for node in graph:  # an onnx_ir graph may be changed while it is walked
            if not is_operator(node, self.operator):
                continue
            try:
                match = self.check(node)
            except NoMatchError as mismatch:
                self.leave(node.name, str(mismatch))
                continue
            self.replace(graph, node, match, names)
            modified = True
        return modified

    @abstractmethod
    def check(self, node: ir.Node) -> Match:
        """What `replace` needs to know of the pattern that ends in `node`.

        Raises:
            NoMatchError: the pattern does not match there.
        """

    @abstractmethod
    def replace(self, graph: ir.Graph, node: ir.Node, match: Match, names: UnusedNames) -> None:
        """Write the pattern that ends in `node` in its new form.

        Args:
            graph: the graph of `node`.
            node: the last node of the pattern.
            match: what `check` returned.
            names: names for new values.
        """
