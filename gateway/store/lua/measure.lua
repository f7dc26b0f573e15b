-- needs: clock
-- How much is owed, and how late the oldest of it is, by Redis' own clock; for metrics, changes nothing.
-- KEYS owed, late, queue
-- ARGV clock (us or '')
-- Returns {owed, retrying, jobs due, ms since the oldest was due (0: nothing is overdue)}
local now = clock_ms(ARGV[1])

-- A failed pause is armed again in the future, so the owed set alone would call it on time.
local oldest = now
for _, key in ipairs({KEYS[1], KEYS[2]}) do
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if first[2] then oldest = math.min(oldest, tonumber(first[2])) end
end
return {redis.call('ZCARD', KEYS[1]), redis.call('ZCARD', KEYS[2]),
  redis.call('ZCOUNT', KEYS[3], '-inf', string.format('%.0f', now)), math.floor(now - oldest)}
