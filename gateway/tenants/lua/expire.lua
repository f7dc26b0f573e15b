#!lua flags=allow-oom
-- needs: token
-- Clear away tokens whose grace time is over; admission refuses them already.
-- ARGV clock (us or ''), most tokens
-- Returns how many
local now = clock_ms(ARGV[1])
local over = redis.call('ZRANGEBYSCORE', EXPIRING, '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[2])
for _, hash in ipairs(over) do
  if not remove(hash) then redis.call('ZREM', EXPIRING, hash) end
end
return #over
