#!lua flags=allow-oom
-- needs: clock
-- Say that a worker works, and learn who else does, and whether tenants' data want tidying. Said again every second, so
-- it is neither logged nor replicated.
-- KEYS workers, what there may be to tidy: sets, and last a sorted set by when
-- ARGV clock (us or ''), who it is ('' nobody, who only asks), for how long that holds (ms)
-- Returns {1 where something wants tidying, else 0, 1 where it had not been known, else 0, worker, worker, ...}
redis.set_repl(redis.REPL_NONE)
local now = clock_ms(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local is_new = ARGV[2] ~= '' and redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[2]) or 0
local tidy = redis.call('ZCOUNT', KEYS[#KEYS], '-inf', now) > 0
for i = 2, #KEYS - 1 do tidy = tidy or redis.call('EXISTS', KEYS[i]) == 1 end
return {tidy and 1 or 0, is_new, unpack(redis.call('ZRANGE', KEYS[1], 0, -1))}
