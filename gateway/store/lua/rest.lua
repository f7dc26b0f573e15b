#!lua flags=allow-oom
-- needs: clock, keeper
-- Accounts whose last indicator ended long enough ago, to be made unavailable; one call at a time for each.
-- KEYS queue of resting accounts
-- ARGV clock (us or ''), most, lease (ms), tries after which one is given up
-- Returns a flat list of instance, version
local now, lease, found = clock_ms(ARGV[1]), tonumber(ARGV[3]), {}
for _, instance in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[2])) do
  local version = keeper(instance)
  -- A new indicator has begun: its end comes back here.
  local shows = redis.call('ZCOUNT', 'pg:chats:' .. instance, '+inf', '+inf') > 0
  if version == '' or shows or redis.call('HINCRBY', KEYS[1] .. ':tries', instance, 1) > tonumber(ARGV[4]) then
    redis.call('ZREM', KEYS[1], instance)
    redis.call('HDEL', KEYS[1] .. ':tries', instance)
  else
    redis.call('SET', 'pg:q:' .. instance, '1', 'PX', lease)
    redis.call('ZADD', KEYS[1], now + lease, instance)
    found[#found + 1] = instance
    found[#found + 1] = version
  end
end
return found
