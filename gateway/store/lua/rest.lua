#!lua flags=allow-oom
-- needs: clock
-- Accounts whose last indicator ended long enough ago, to be made unavailable; one call at a time for each.
-- KEYS a partition's queue of resting accounts
-- ARGV clock (us or ''), most, lease (ms), tries after which one is given up
-- Returns a list of instances
local now, lease, found = clock_ms(ARGV[1]), tonumber(ARGV[3]), {}
local tag = string.match(KEYS[1], '^pg:{%d%d}:')
for _, instance in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local last = redis.call('ZRANGE', tag .. 'chats:' .. instance, -1, -1, 'WITHSCORES')
  if last[2] then
    -- Another indicator has begun: not before that is over.
    redis.call('ZADD', KEYS[1], math.max(now, tonumber(last[2])) + 1000, instance)
  elseif redis.call('HINCRBY', KEYS[1] .. ':tries', instance, 1) > tonumber(ARGV[4]) then
    redis.call('ZREM', KEYS[1], instance)
    redis.call('HDEL', KEYS[1] .. ':tries', instance)
  else
    redis.call('SET', tag .. 'q:' .. instance, '1', 'PX', lease)
    redis.call('ZADD', KEYS[1], now + lease, instance)
    found[#found + 1] = instance
  end
end
return found
