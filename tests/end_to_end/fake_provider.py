"""Nodes that Ray's autoscaler starts beside its head, on the same machine."""

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider


class FakeProvider(FakeMultiNodeProvider):
    """Ray's own, for node types that name their memory: their nodes have what the machine has."""

    def _create_node_with_resources_and_labels(self, node_config, tags, count, resources, labels):
        # It would count memory among the custom resources, which Ray refuses (Ray 2.60).
        resources = {name: amount for name, amount in resources.items() if name != "memory"}
        super()._create_node_with_resources_and_labels(node_config, tags, count, resources, labels)
