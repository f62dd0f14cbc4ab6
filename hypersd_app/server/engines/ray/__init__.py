"""The engine on replicas of Ray Serve, called through a deployment handle: the same server and page stand in front."""
