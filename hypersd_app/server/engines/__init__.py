"""The engine as the server calls it: in another process, behind the safety gate, on replicas."""
