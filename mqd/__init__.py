"""mqd: a RabbitMQ-compatible message broker. Holds its version and imports nothing."""

__version__ = "0.1.0"
