#!lua flags=allow-oom
-- needs: waking
-- Record that a refresh was sent, and give the lease back: what `settle` does, in the one case that comes most often.
-- Nothing of it must outlive Redis, so that it is neither logged nor replicated: forgotten, the refresh comes again, and
-- does no harm.
-- KEYS record
-- ARGV clock (us or ''), owner, when it was sent (how long ago), refresh, life
-- Returns 1, or 0 where the lease is lost, or nobody asked for an end, and nothing was changed
local now = clock_ms(ARGV[1])
turn_to(KEYS[1])
local stored = redis.call('HMGET', KEY, 'owner', 'until')
local ends = tonumber(stored[2] or 0)
if stored[1] ~= ARGV[2] or ends == 0 then return 0 end
redis.set_repl(redis.REPL_NONE)
local sent = now - ARGV[3]
redis.call('HSET', KEY, 'owner', '', 'op', '', 'lease', 0, 'unsure', 0, 'sent', sent)
wake_at(math.max(now, next_wake(ends, sent, tonumber(ARGV[4]), tonumber(ARGV[5]))), now)
return 1
