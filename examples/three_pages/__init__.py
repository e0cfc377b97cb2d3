"""A site of three pages whose views FocusUp counts (see README.md)."""
