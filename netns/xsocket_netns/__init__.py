"""Labs: network namespaces, links, addresses and routes, made and removed through pyroute2.

Knows nothing of TCP and nothing of the engine.
"""

__all__: list[str] = []
