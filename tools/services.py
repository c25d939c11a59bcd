"""Real PostgreSQL and Redis for tests, soak and bench; run by hand it starts both until Ctrl-C."""

import signal

from tools.postgres import PostgresServer, find_postgres
from tools.process import Server, ServiceError, free_port
from tools.redis import RedisServer, find_redis

__all__ = [
    "PostgresServer",
    "RedisServer",
    "Server",
    "ServiceError",
    "find_postgres",
    "find_redis",
    "free_port",
]


def main() -> None:
    """Start both, print what belongs in the environment, leave nothing behind at the end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with PostgresServer() as postgres, RedisServer() as redis:
            print(f"DATABASE_URL={postgres.url()}")
            print(f"REDIS_URL={redis.url()}")
            print("Both servers end, and their data goes, with Ctrl-C.", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
