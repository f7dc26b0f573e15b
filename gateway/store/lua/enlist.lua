#!lua flags=allow-oom
-- Say that a process runs. A Redis that is full must not make it look dead.
-- KEYS processes
-- ARGV when it is to be forgotten (Unix seconds), what it says of itself
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
