"""The pages for people, and the client library that they and other sites use."""
