"""What the tests share: small models, fake engines, servers, a scripted pen."""
